"""Grammar of MQTT topic names and topic filters (MQTT 5.0, 4.7 and 4.8.2). That they are UTF-8 is checked elsewhere."""

SHARE_PREFIX = b"$share/"


def is_topic_name(topic: bytes) -> bool:
    """Whether one may publish to it: not empty [MQTT-4.7.3-1] and without wildcards [MQTT-3.3.2-2]."""
    return topic != b"" and b"+" not in topic and b"#" not in topic


def is_topic_filter(topic_filter: bytes) -> bool:
    """Whether one may subscribe to it. A shared subscription (`$share/…`) is a filter like any other here."""
    if b"+" not in topic_filter and b"#" not in topic_filter:
        return topic_filter != b""
    levels = topic_filter.split(b"/")
    last = levels.pop()
    if last != b"#" and not _is_level(last):  # [MQTT-4.7.1-1]
        return False
    return all(map(_is_level, levels))


def parse_shared_filter(topic_filter: bytes) -> tuple[bytes, bytes] | None:
    """Share name and topic filter of a shared subscription, `$share/<share name>/<topic filter>`.

    None for any other filter, and for one that begins with SHARE_PREFIX and is malformed.
    """
    if not topic_filter.startswith(SHARE_PREFIX):
        return None
    name, _, rest = topic_filter[len(SHARE_PREFIX) :].partition(b"/")
    # [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    if not is_topic_name(name) or not is_topic_filter(rest):
        return None
    return name, rest


def filter_matches(topic_filter: bytes, topic: bytes) -> bool:
    """Whether a topic filter, which is no shared one, takes a topic name (4.7.1)."""
    if topic.startswith(b"$") and topic_filter.startswith((b"+", b"#")):  # [MQTT-4.7.2-1]
        return False
    wanted, levels = topic_filter.split(b"/"), topic.split(b"/")
    if wanted[-1] == b"#":  # Includes the parent level.
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(one in (b"+", level) for one, level in zip(wanted, levels, strict=True))


def _is_level(level: bytes) -> bool:
    """`+` occupies an entire level [MQTT-4.7.1-2]; `#` may be none but the last."""
    return level == b"+" or (b"+" not in level and b"#" not in level)
