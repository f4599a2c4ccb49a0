"""Subject transforms: a subject that a filter matches becomes another one, as a destination with placeholders says.

A token of the destination is literal, `$2` or `{{wildcard(2)}}` (what the second `*` of the source stands for), or one
of these functions, of which W is the number of a `*`:

    {{partition(N,W,...)}}  a number below N, equal for equal tokens; of the whole subject without a W
    {{random(N)}}           a number below N
    {{split(W,-)}}          the parts of the token between `-`, as tokens of their own
    {{splitfromleft(W,N)}}, {{splitfromright(W,N)}}    two tokens, the first or the last of N characters
    {{slicefromleft(W,N)}}, {{slicefromright(W,N)}}    tokens of N characters; what is left stands last, or first
    {{left(W,N)}}, {{right(W,N)}}                      N characters of the token

A last token `>` stands for what `>` of the source does. The results are nats-server's.
"""

from collections.abc import Callable

from protocols.subjects import is_valid_filter

DOT, STAR, REST = b".", b"*", b">"
MOST_NUMBER = (1 << 31) - 1
FNV_OFFSET, FNV_PRIME, FNV_MASK = 2166136261, 16777619, 0xFFFFFFFF

# What makes a token of the result out of the tokens of the subject.
Maker = Callable[[list[bytes]], bytes]
# Gives a number from 0 to below its argument.
Draw = Callable[[int], int]


def first(count: int) -> int:
    """Draws no lots."""
    return 0


class SubjectTransform:
    """Makes subjects that `source` matches into others. Raises ValueError, in words for whoever wrote it.

    `reversible`: the destination names every wildcard of the source and uses no function. `steady`: equal subjects
    become equal ones. `pattern` is a filter that matches all results of a reversible one. `draw` is what random(N)
    asks.
    """

    __slots__ = ("_makers", "_rest_from", "destination", "pattern", "source", "steady")

    def __init__(self, source: bytes, destination: bytes, reversible: bool = False, draw: Draw = first) -> None:
        if not is_valid_filter(source):
            raise ValueError(f"{source.decode()!r} is no subject")
        self.source = source
        self.destination = destination
        tokens = source.split(DOT)
        wildcards = [index for index, token in enumerate(tokens) if token == STAR]
        wanted = destination.split(DOT)
        if not is_valid_filter(destination) or STAR in wanted:
            raise ValueError(f"{destination.decode()!r} is no destination; write wildcards as $1, $2")
        if (tokens[-1] == REST) != (wanted[-1] == REST):
            raise ValueError(f"{destination.decode()!r} must end with > exactly where {source.decode()!r} does")
        self._rest_from = len(tokens) - 1 if tokens[-1] == REST else -1
        self._makers: list[Maker] = []
        self.steady = True
        pattern: list[bytes] = []
        used: set[int] = set()
        for token in wanted[:-1] if self._rest_from >= 0 else wanted:
            name, arguments = placeholder(token)
            if reversible and name not in ("", "wildcard"):
                raise ValueError(f"{token.decode()!r}: only $1 or wildcard(1) can be used here")
            pattern.append(STAR if name == "wildcard" else token)
            if name == "wildcard":
                used.add(number(token, arguments[0], 1, len(wildcards)))
            self.steady = self.steady and name != "random"
            self._makers.append(maker(token, name, arguments, wildcards, draw))
        if reversible and len(used) < len(wildcards):
            raise ValueError(f"{destination.decode()!r} must name every wildcard of {source.decode()!r}, as $1, $2")
        if self._rest_from >= 0:
            pattern.append(REST)
        self.pattern = DOT.join(pattern)

    def apply(self, subject: bytes) -> bytes:
        """What a subject becomes that the source matches; of a filter as well, where the transform is reversible."""
        tokens = subject.split(DOT)
        made = [make(tokens) for make in self._makers]
        if self._rest_from >= 0:
            made += tokens[self._rest_from :]
        return DOT.join(made)

    def reverse(self) -> "SubjectTransform":
        """The transform that makes the subjects out of the results; only of a reversible one."""
        places: dict[int, int] = {}
        count = 0
        for token in self.destination.split(DOT):
            name, arguments = placeholder(token)
            if name == "wildcard":
                count += 1
                places.setdefault(int(arguments[0]), count)
        wanted: list[bytes] = []
        wildcard = 0
        for token in self.source.split(DOT):
            if token == STAR:
                wildcard += 1
                token = b"$%d" % places[wildcard]
            wanted.append(token)
        return SubjectTransform(self.pattern, DOT.join(wanted), True)


def numbered(subject_filter: bytes) -> bytes:
    """A filter as a destination: its wildcards become $1, $2 and so on."""
    count = 0
    tokens = []
    for token in subject_filter.split(DOT):
        if token == STAR:
            count += 1
            token = b"$%d" % count
        tokens.append(token)
    return DOT.join(tokens)


def intersection(one: bytes, other: bytes) -> bytes | None:
    """The filter that matches what both of two filters match; None where nothing is."""
    left, right = one.split(DOT), other.split(DOT)
    found: list[bytes] = []
    for index in range(max(len(left), len(right))):
        ours = left[index] if index < len(left) else b""
        theirs = right[index] if index < len(right) else b""
        if not ours or not theirs:
            return None
        if ours == REST:
            return DOT.join(found + right[index:])
        if theirs == REST:
            return DOT.join(found + left[index:])
        if ours != theirs and STAR not in (ours, theirs):
            return None
        found.append(theirs if ours == STAR else ours)
    return DOT.join(found)


def placeholder(token: bytes) -> tuple[str, list[bytes]]:
    """Name and arguments of what a token of a destination stands for; no name for a literal one."""
    if token.startswith(b"$") and token[1:].isdigit():
        return "wildcard", [token[1:]]
    if not (len(token) > 4 and token.startswith(b"{{") and token.endswith(b"}}")):
        return "", []
    name, bracket, rest = token[2:-2].strip().partition(b"(")
    if not bracket or not rest.endswith(b")"):
        raise ValueError(f"{token.decode()!r} is no function; write it as {{{{wildcard(1)}}}}")
    return name.strip().decode().lower(), rest[:-1].split(b",")


def number(token: bytes, text: bytes, least: int, most: int) -> int:
    text = text.strip()
    value = int(text) if text.isdigit() and len(text) <= len(str(MOST_NUMBER)) else -1
    if not least <= value <= most:
        raise ValueError(f"{token.decode()!r}: {text.decode()!r} is no number from {least} to {most}")
    return value


def maker(token: bytes, name: str, arguments: list[bytes], wildcards: list[int], draw: Draw) -> Maker:
    """What makes one token of the result. Raises ValueError."""
    if not name:
        return lambda tokens: token
    if name == "random":
        _expect(token, arguments, 1)
        most = number(token, arguments[0], 0, MOST_NUMBER)
        return lambda tokens: b"%d" % (draw(most) if most else 0)
    if name == "partition":
        buckets = number(token, arguments[0], 0, MOST_NUMBER)
        places = [_place(token, one, wildcards) for one in arguments[1:]]
        return lambda tokens: partition(tokens, buckets, places)
    _expect(token, arguments, 1 if name == "wildcard" else 2)
    if name != "wildcard" and name != "split" and name not in CUTS:
        raise ValueError(f"{token.decode()!r}: there is no function {name}")
    place = _place(token, arguments[0], wildcards)
    if name == "wildcard":
        return lambda tokens: tokens[place]
    if name == "split":
        delimiter = arguments[1]
        if not delimiter or b" " in delimiter:
            raise ValueError(f"{token.decode()!r}: {delimiter.decode()!r} is nothing to split at")
        return lambda tokens: split(tokens[place], delimiter)
    size = number(token, arguments[1], 0, MOST_NUMBER)
    cut = CUTS[name]
    return lambda tokens: cut(tokens[place], size) if 0 < size < len(tokens[place]) else tokens[place]


def _place(token: bytes, text: bytes, wildcards: list[int]) -> int:
    """Where in the subject the wildcard of this number is. Raises ValueError."""
    if not wildcards:
        raise ValueError(f"{token.decode()!r}: there is no * that it could stand for")
    return wildcards[number(token, text, 1, len(wildcards)) - 1]


def _expect(token: bytes, arguments: list[bytes], count: int) -> None:
    if len(arguments) != count:
        raise ValueError(f"{token.decode()!r} has {len(arguments)} arguments, not {count}")


def partition(tokens: list[bytes], buckets: int, places: list[int]) -> bytes:
    """In which of so many buckets the tokens at the places are (FNV-1a, 32 bits)."""
    key = b"".join([tokens[place] for place in places]) if places else DOT.join(tokens)
    value = FNV_OFFSET
    for byte in key:
        value = (value ^ byte) * FNV_PRIME & FNV_MASK
    return b"%d" % (value % buckets if buckets else 0)


def split(token: bytes, delimiter: bytes) -> bytes:
    return DOT.join([part for part in token.split(delimiter) if part])


def slice_from_left(token: bytes, size: int) -> bytes:
    return DOT.join([token[start : start + size] for start in range(0, len(token), size)])


def slice_from_right(token: bytes, size: int) -> bytes:
    rest = len(token) % size
    slices = [token[start : start + size] for start in range(rest, len(token), size)]
    return DOT.join([token[:rest], *slices] if rest else slices)


# Each is given a size above 0 and below the token's.
CUTS: dict[str, Callable[[bytes, int], bytes]] = {
    "splitfromleft": lambda token, size: token[:size] + DOT + token[size:],
    "splitfromright": lambda token, size: token[:-size] + DOT + token[-size:],
    "slicefromleft": slice_from_left,
    "slicefromright": slice_from_right,
    "left": lambda token, size: token[:size],
    "right": lambda token, size: token[-size:],
}
