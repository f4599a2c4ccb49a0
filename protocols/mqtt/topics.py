"""Grammar of MQTT topic names and topic filters (MQTT 5.0, 4.7). That they are UTF-8 strings is checked elsewhere."""


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


def _is_level(level: bytes) -> bool:
    """`+` occupies an entire level [MQTT-4.7.1-2]; `#` may be none but the last."""
    return level == b"+" or (b"+" not in level and b"#" not in level)
