"""Grammar of subjects and subject filters. All of it on bytes.

A subject is a row of tokens with `.` between them. In a filter the token `*` stands for any one token and a last token
`>` for one or more; as a part of a longer token both are ordinary characters.
"""

# A walk through filters with wildcards descends a level a token.
MOST_WILDCARD_TOKENS = 256
# Subjects that servers use among themselves begin so, and those where the gateway tells MQTT clients of itself.
RESERVED_SUBJECTS = (b"_GR_.", b"$GR.", b"$NRG.", b"$SYS.broker.")
# First tokens of subjects on which answers and requests to servers go: where messages are kept or handed on, a filter
# that begins with a wildcard does not mean them.
SERVICE_TOKENS = (b"$", b"_")
# Bytes of subject, reply and queue groups in one line between servers. Its arguments may have 16 times nats-server's
# default `max_control_line`; beside the names those are sizes, weights, marks and spaces.
LONGEST_NAMES = 65_536 - 64

_SEPARATOR = b"."
_ONE = b"*"
_REST = b">"


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


def is_meant(subject_filter: bytes, subject: bytes) -> bool:
    """Whether a filter that matches a subject means it, too, where messages are kept or handed on."""
    return subject_filter[:1] not in (b"*", b">") or not subject.startswith(SERVICE_TOKENS)


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


def overlaps(one: bytes, other: bytes) -> bool:
    """Whether a subject can match both filters."""
    left = one.split(_SEPARATOR)
    right = other.split(_SEPARATOR)
    for ours, theirs in zip(left, right, strict=False):
        if _REST in (ours, theirs):
            return True
        if ours != theirs and _ONE not in (ours, theirs):
            return False
    return len(left) == len(right)
