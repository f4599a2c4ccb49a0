"""The mapping between MQTT topics and subjects: nats-server's, made total and lossless. All of it on bytes.

Levels become tokens one by one, each level another token and each token another level. The first character of a topic
is `$` when that of its subject is.
"""

import re

from protocols.cache import GenerationCache
from protocols.mqtt.topics import is_topic_filter
from protocols.subjects import is_valid_filter

# Publishers repeat their topics. A longer one is mapped anew each time: the cache is bounded in bytes too.
LONGEST_REMEMBERED_TOPIC = 128
REMEMBERED_TOPICS = 4096

_subjects = GenerationCache(REMEMBERED_TOPICS, weigh=len)

_WILDCARDS = {b"+": b"*", b"#": b">"}
# nats-server's own bookkeeping. Its MQTT listener lets nobody subscribe there.
_RESERVED_PREFIX = b"$MQTT."

# In a token a `/` begins an escape. White space ends a subject on a NATS control line.
_EMPTY = b"/"
_ESCAPES = {b" ": b"/s", b"\t": b"/t", b"\n": b"/n", b"\r": b"/r", b"\v": b"/v", b"\f": b"/f"}
_MEANINGS = {b"//": b"."} | {escape: character for character, escape in _ESCAPES.items()}
_ESCAPE = re.compile(rb"/[stnrvf/]")
_WHITE_SPACE = b"".join(_ESCAPES)
# What a topic does not hold when its levels are its tokens, but for empty levels; and when they are but for dots too.
_SPECIAL = _WHITE_SPACE + b"*>+#."
_RARE = _WHITE_SPACE + b"*>+#"

# The tokens that levels make with those escapes. Any other holds a `/` of its own, which the level shows as a space and
# U+2215: no topic that nats-server takes has a space. A topic is not empty, so one level alone does not make `/`.
_MADE = re.compile(rb"/[*>]?|(?:[^/]|/[stnrvf/])+")
_MADE_ALONE = re.compile(rb"/[*>]|(?:[^/]|/[stnrvf/])+")
_SLASH_SIGN = b" \xe2\x88\x95"


def topic_to_subject(topic: bytes) -> bytes | None:
    """The subject of an MQTT topic name; None when it is no topic name: empty or with an MQTT wildcard.

    It is a valid literal without white space. Where nats-server has a subject for the topic, it is the same one unless
    a level is `*` or `>`.
    """
    subject: bytes | None = _subjects.young.get(topic) or _subjects.recall(topic)
    if subject is None:
        subject = _map(topic)
        if subject is not None and len(topic) <= LONGEST_REMEMBERED_TOPIC:
            _subjects.remember(topic, subject)
    return subject


def filter_to_subjects(topic_filter: bytes) -> tuple[bytes, ...] | None:
    """The subject filters that together match what an MQTT topic filter matches, `$` being a character like any other.

    `a/#` takes two, because it matches `a` too: `a.>` and `a`; not so `/#`, as no topic is empty. None for what is no
    topic filter, for nats-server's bookkeeping, and for more levels with wildcards than `is_valid_filter` allows.
    """
    if not is_topic_filter(topic_filter):
        return None
    levels = topic_filter.split(b"/")
    subject = _join(levels)
    if subject.startswith(_RESERVED_PREFIX) or not is_valid_filter(subject):
        return None
    parents = levels[:-1]
    if levels[-1] != b"#" or parents in ([], [b""]):
        return (subject,)
    return subject, _join(parents)


def subject_to_topic(subject: bytes) -> bytes:
    """The MQTT topic of a subject; the inverse of `topic_to_subject` for every valid literal without white space.

    What came from NATS can be ill-formed UTF-8 or hold `+` and `#`: then this is no topic name. An invalid subject
    makes a topic as well, though one that stands for another subject.
    """
    if b"/" not in subject:
        return subject.replace(b".", b"/")
    tokens = subject.split(b".")
    made = _MADE if len(tokens) > 1 else _MADE_ALONE
    return b"/".join([_level(token, made) for token in tokens])


def share_name_to_queue(name: bytes) -> bytes:
    """The queue group of a share name: the same, but for white space, which is escaped as in a token.

    No two share names give the same, because there is no `/` in them.
    """
    return _escape(name)


def _map(topic: bytes) -> bytes | None:
    # The usual topic costs a handful of calls into C.
    if topic.translate(None, _SPECIAL) == topic and topic and b"//" not in topic:
        if topic[0] != 0x2F and topic[-1] != 0x2F:
            return topic.replace(b"/", b".")
    elif not topic or b"+" in topic or b"#" in topic:
        return None
    levels = topic.split(b"/")
    if topic.translate(None, _RARE) == topic:
        return b".".join([level.replace(b".", b"//") or _EMPTY for level in levels])
    return _join(levels)


def _join(levels: list[bytes]) -> bytes:
    made = _MADE if len(levels) > 1 else _MADE_ALONE
    return b".".join([_WILDCARDS.get(level) or _token(level, made) for level in levels])


def _token(level: bytes, made: re.Pattern[bytes]) -> bytes:
    if level in (b"", b"*", b">"):
        return b"/" + level
    stem = level.rstrip(b".")
    token = _shown_token(stem, made)
    if token is not None:
        if stem == level:
            return token
        level = level[:-1]
    return _escape(level.replace(b".", b"//"))


def _level(token: bytes, made: re.Pattern[bytes]) -> bytes:
    if b"/" not in token:
        return token
    if not made.fullmatch(token):
        return token.replace(b"/", _SLASH_SIGN)
    if token in (b"/", b"/*", b"/>"):
        return token[1:]
    level = _ESCAPE.sub(lambda match: _MEANINGS[match[0]], token)
    # A level that only looks like one that shows a `/` steps aside by a dot at its end, and so does one with such dots.
    # Not at its beginning: that is where `$` counts.
    return level if _shown_token(level.rstrip(b"."), made) is None else level + b"."


def _shown_token(level: bytes, made: re.Pattern[bytes]) -> bytes | None:
    """The token that `level` shows, if that is one with a `/` of its own."""
    if _SLASH_SIGN not in level:
        return None
    token = level.replace(_SLASH_SIGN, b"/")
    if b"." in token or token.translate(None, _WHITE_SPACE) != token or made.fullmatch(token):
        return None
    return token


def _escape(text: bytes) -> bytes:
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text
