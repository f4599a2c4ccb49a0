"""Grammar of subjects and subject filters, and the mapping between MQTT topics and subjects. All of it on bytes.

A subject is a row of tokens with `.` between them. In a filter the token `*` stands for any one token and a last token
`>` for one or more; as a part of a longer token both are ordinary characters.
"""

from protocols.cache import GenerationCache

# Publishers repeat their topics. A longer one is mapped anew each time: the cache is bounded in bytes too.
LONGEST_REMEMBERED_TOPIC = 128
REMEMBERED_TOPICS = 4096

# A walk through filters with wildcards descends a level a token.
MOST_WILDCARD_TOKENS = 256

_subjects = GenerationCache(REMEMBERED_TOPICS)

_SEPARATOR = b"."
_ONE = b"*"
_REST = b">"

# What no subject can hold because a NATS control line is split there, and 0x7f, which nats-server refuses too.
_UNMAPPABLE = b" \t\n\r\f\x7f"
# nats-server's own bookkeeping. Its MQTT listener lets nobody subscribe there.
_RESERVED_PREFIX = b"$MQTT."

_SLASH = 0x2F
_DOT = 0x2E


def is_valid_filter(subject: bytes) -> bool:
    """Whether one may subscribe to it: no empty token, `>` as a token only at the end, wildcards in bounded depth."""
    tokens = subject.split(_SEPARATOR)
    if len(tokens) > MOST_WILDCARD_TOKENS and (_ONE in tokens or tokens[-1] == _REST):
        return False
    return b"" not in tokens and _REST not in tokens[:-1]


def is_literal(subject: bytes) -> bool:
    """Whether no token is a wildcard."""
    if _ONE not in subject and _REST not in subject:
        return True
    tokens = subject.split(_SEPARATOR)
    return _ONE not in tokens and _REST not in tokens


def is_valid_literal(subject: bytes) -> bool:
    """Whether one may publish to it: no empty token and no wildcard. Only pedantic clients are held to it."""
    return is_valid_filter(subject) and is_literal(subject)


def matches(subject_filter: bytes, subject: bytes) -> bool:
    """Whether a filter matches a subject, in which wildcards are ordinary tokens and an empty token never matches."""
    tokens = subject.split(_SEPARATOR)
    if b"" in tokens:
        return False
    pattern = subject_filter.split(_SEPARATOR)
    count = len(pattern)
    if pattern[-1] == _REST:
        count -= 1
        if len(tokens) <= count:
            return False
    elif len(tokens) != count:
        return False
    i = 0
    while i < count and pattern[i] in (tokens[i], _ONE):
        i += 1
    return i == count


def is_subset(subject: bytes, pattern: bytes) -> bool:
    """Whether every subject that the filter `subject` matches is also matched by the filter `pattern`."""
    narrow = subject.split(_SEPARATOR)
    wide = pattern.split(_SEPARATOR)
    count = len(wide)
    if wide[-1] == _REST:
        count -= 1
        if len(narrow) <= count:
            return False
    elif len(narrow) != count:
        return False
    i = 0
    # A `>` in `subject` that meets anything but the `>` of `pattern` stands for subjects that are too long for it.
    while i < count and narrow[i] != _REST and wide[i] in (narrow[i], _ONE):
        i += 1
    return i == count


def topic_to_subject(topic: bytes) -> bytes | None:
    """The subject of an MQTT topic name; None when it is empty or holds white space, DEL or an MQTT wildcard.

    The mapping is nats-server's: levels become tokens, `.` becomes `//`, and a `/` that would leave an empty token
    stands for itself in that token (`/a` is `/.a`, `a/` is `a./`, `a//b` is `a./.b`). `*` and `>` pass unchanged.
    """
    subject: bytes | None = _subjects.young.get(topic) or _subjects.recall(topic)
    if subject is None and b"+" not in topic and b"#" not in topic:
        subject = _map(topic)
        if subject is not None and len(topic) <= LONGEST_REMEMBERED_TOPIC:
            _subjects.remember(topic, subject)
    return subject


def filter_to_subjects(topic_filter: bytes) -> tuple[bytes, ...] | None:
    """The subject filters that together match what an MQTT topic filter matches; None when it is refused.

    `a/#` takes two, because it matches `a` too: `a.>` and `a`. Wildcards are replaced character by character: what is
    no legal topic filter (`a#`) may become an odd subject, so check it first.
    """
    subject = _map(topic_filter.replace(b"+", _ONE).replace(b"#", _REST))
    if subject is None or subject.startswith(_RESERVED_PREFIX) or not is_valid_filter(subject):
        return None
    if topic_filter.endswith(b"/#"):
        return subject, subject[: -len(b".>")]
    return (subject,)


def subject_to_topic(subject: bytes) -> bytes:
    """The MQTT topic of a subject; the inverse of `topic_to_subject`.

    A `/` inside a token that the mapping did not make is dropped, as nats-server does. So the result can be empty, and
    what came from NATS can also be ill-formed UTF-8 or hold `+` and `#`: then it is no topic name.
    """
    if b"/" not in subject:
        return subject.replace(b".", b"/")
    topic = bytearray()
    position, end = 0, len(subject)
    while position < end:
        character = subject[position]
        position += 1
        if character == _DOT:
            topic.append(_SLASH)
        elif character != _SLASH:
            topic.append(character)
        elif position < end and subject[position] in (_DOT, _SLASH):
            topic.append(_SLASH if subject[position] == _DOT else _DOT)
            position += 1
    return bytes(topic)


def _map(topic: bytes) -> bytes | None:
    if not topic or topic.translate(None, _UNMAPPABLE) != topic:
        return None
    if topic[0] != _SLASH and topic[-1] != _SLASH and b"//" not in topic and b"." not in topic:
        return topic.replace(b"/", b".")
    subject = bytearray()
    last = len(topic) - 1
    for i, character in enumerate(topic):
        if character == _DOT:
            subject += b"//"
        elif character != _SLASH:
            subject.append(character)
        elif i == 0 or subject[-1] == _DOT:
            subject += b"/."
        elif i == last or topic[i + 1] == _SLASH:
            subject += b"./"
        else:
            subject.append(_DOT)
    if subject[-1] == _DOT:
        subject.append(_SLASH)
    return bytes(subject)
