"""Which interest passes over a link: what a hub takes of a spoke, and what a spoke may be told of by its hub.

A hub closes the link over what it does not take.

nats-server looks at literal subjects only and pays no heed to the queue group; it takes a wildcard whatever it covers,
and holds back what the spoke may not see. Interest that could bring nothing is not worth a line either.
"""

from protocols.leafnode.link import Permissions
from protocols.subjects import LONGEST_NAMES, is_literal, is_subset, matches, overlaps

# A hub's JetStream belongs to the hub: nats-server refuses these to every leafnode, with and without JetStream.
CLOSED: tuple[bytes, ...] = (b"$JS.API.>", b"$KV.>", b"$OBJ.>")
_ESCAPES = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\\": b"\\",
    b'"': b'"',
}
_NAMES = {value[0]: name.decode() for name, value in _ESCAPES.items()}
_DIGITS = {b"x": 2, b"u": 4, b"U": 8}


class InterestRules:
    """Which interest may pass by these permissions; nothing that is `closed` does."""

    __slots__ = ("_allow", "_closed", "_deny")

    def __init__(self, permissions: Permissions | None, closed: tuple[bytes, ...]) -> None:
        self._allow = _encoded(permissions.allow if permissions is not None else None)
        self._deny = _encoded(permissions.deny if permissions is not None else None)
        self._closed = closed

    def permit(self, subject: bytes, queue: bytes) -> bool:
        """Whether this interest is taken, and can bring something."""
        if len(subject) + len(queue) > LONGEST_NAMES:
            return False
        if subject.startswith(b"$") and any(is_subset(subject, pattern) for pattern in self._closed):
            return False
        if not self._allow and not self._deny:
            return True
        if is_literal(subject):
            allowed = not self._allow or any(matches(pattern, subject) for pattern in self._allow)
            return allowed and not any(matches(pattern, subject) for pattern in self._deny)
        allowed = not self._allow or any(overlaps(subject, pattern) for pattern in self._allow)
        return allowed and not any(is_subset(subject, pattern) for pattern in self._deny)


def closed_subjects(domain: str) -> tuple[bytes, ...]:
    """What a hub of this JetStream domain (empty: of none) takes of no spoke."""
    return (*CLOSED, b"$JS.%b.API.>" % domain.encode()) if domain else CLOSED


def refused_subject(error: bytes) -> bytes:
    """The subject of the interest that an error of the hub refuses; b"" for any other error.

    nats-server quotes it as a string of Go: `Permissions Violation for Subscription to "down.x"`.
    """
    lead, _, quoted = error.partition(b' for Subscription to "')
    if not lead.endswith(b"Permissions Violation"):
        return b""
    subject, end, _ = quoted.rpartition(b'"')
    return _unquoted(subject) if end else b""


def quoted(subject: bytes) -> str:
    """A subject as a string of Go, quotes and all: as an error names it that refuses it."""
    return '"' + "".join(map(_escaped, subject.decode("utf-8", "surrogateescape"))) + '"'


def _escaped(letter: str) -> str:
    code = ord(letter)
    if letter in '"\\':
        return "\\" + letter
    if letter.isprintable():
        return letter
    name = _NAMES.get(code)
    if name is not None:
        return "\\" + name
    if 0xDC80 <= code <= 0xDCFF:  # A byte that is no UTF-8.
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _unquoted(text: bytes) -> bytes:
    """What stands between the quotes of a string of Go; an escape that is none stays as it is."""
    first, *parts = text.split(b"\\")
    result = [first]
    index = 0
    while index < len(parts):
        part = parts[index]
        index += 1
        kind = part[:1]
        if not kind and index < len(parts):  # `\\`: a backslash, and no escape behind it
            result += [b"\\", parts[index]]
            index += 1
        elif kind in _ESCAPES:
            result += [_ESCAPES[kind], part[1:]]
        else:
            size = _DIGITS.get(kind, 0)
            code = _number(part[1 : 1 + size], size)
            if code is None:
                result += [b"\\", part]
            else:
                result += [bytes((code,)) if kind == b"x" else chr(code).encode("utf-8", "replace"), part[1 + size :]]
    return b"".join(result)


def _number(digits: bytes, size: int) -> int | None:
    if not size or len(digits) < size:
        return None
    try:
        code = int(digits, 16)
    except ValueError:
        return None
    return code if code <= 0x10FFFF else None


def _encoded(patterns: tuple[str, ...] | None) -> tuple[bytes, ...]:
    return tuple(pattern.encode() for pattern in patterns or ())
