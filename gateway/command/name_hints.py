"""Hints for a name that is likely meant for the other protocol: it may be right, so they only hint."""

NATS_WILDCARDS = frozenset((b"*", b">"))


def hint_for(name: bytes, *, in_mqtt: bool, to_publish: bool) -> str:
    """What somebody may have meant by a subject or topic; "" where there is nothing to say."""
    text = name.decode("utf-8", "replace")
    if in_mqtt:
        if not NATS_WILDCARDS.isdisjoint(name.split(b".")):
            return f"in MQTT the wildcards are + and #: {_as_topic(text)}"
        if b"." in name and b"/" not in name:
            return f"in MQTT levels are parted by slashes: {_as_topic(text)}"
        return ""
    if b"/" in name or not {b"+", b"#"}.isdisjoint(name.split(b".")):
        return f"that looks like an MQTT topic; in NATS it is the subject {_as_subject(text)}"
    if to_publish and not NATS_WILDCARDS.isdisjoint(name.split(b".")):
        return "* and > are wildcards for subscriptions; nobody gets a message for all subjects that match"
    return ""


def _as_topic(subject: str) -> str:
    return "/".join({"*": "+", ">": "#"}.get(token, token) for token in subject.replace("/", ".").split("."))


def _as_subject(topic: str) -> str:
    levels = topic.strip("/").replace("/", ".").split(".")
    return ".".join({"+": "*", "#": ">"}.get(level, level) for level in levels)
