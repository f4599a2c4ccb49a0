"""Transform templates: texts that are made out of a subject, as a subject transform makes one, for names that are none.

Anywhere in the text stand `$2` or `{{wildcard(2)}}` (what the second `*` of the filter stands for), any other function
of protocols.subject_transform, and names that the caller knows: `{{subject}}`, or with an argument `{{header(Site)}}`.
Where there is no filter, or it says too little, there are two functions more:

    {{token(2)}}   the second token of the subject, {{token(-1)}} its last one; nothing where it has fewer
    {{tokens(2)}}  those from the second one on, with their dots
"""

from collections.abc import Callable, Collection

from protocols.subject_transform import DOT, STAR, Maker, first, maker, placeholder

OPENING, CLOSING = b"{{", b"}}"
TOKENS = ("token", "tokens")
# Of tokens that may be asked for by number.
MOST_TOKENS = 999
# Gives what a name stands for, with its argument or b"".
Find = Callable[[str, bytes], bytes]


def nothing(name: str, argument: bytes) -> bytes:
    """Where no names are known."""
    return b""


class TransformTemplate:
    """`names` may be used besides functions. Raises ValueError, in words for whoever wrote it. `is_fixed`: it is the
    same text for all subjects; `names`: those that it uses.
    """

    __slots__ = ("_pieces", "names", "text")

    def __init__(self, text: bytes, source: bytes, names: Collection[str] = ()) -> None:
        self.text = text
        self.names: set[str] = set()
        self._pieces: list[bytes | Maker | tuple[str, bytes]] = []
        wildcards = [index for index, token in enumerate(source.split(DOT)) if token == STAR]
        for literal, token in pieces_of(text):
            if literal:
                self._pieces.append(literal)
            if not token:
                continue
            name, arguments = named(token, names)
            if name in names:
                self.names.add(name)
                self._pieces.append((name, arguments))
                continue
            if names and token.startswith(OPENING) and b"(" not in token:
                known = ", ".join(f"{{{{{one}}}}}" for one in names)
                raise ValueError(f"{token.decode('utf-8', 'replace')} is none of {known}")
            name, parts = placeholder(token)
            make = token_maker(token, name, parts) if name in TOKENS else maker(token, name, parts, wildcards, first)
            self._pieces.append(make)

    @property
    def is_fixed(self) -> bool:
        return all(isinstance(piece, bytes) for piece in self._pieces)

    def fill(self, subject: bytes, find: Find = nothing) -> bytes:
        tokens: list[bytes] | None = None
        made: list[bytes] = []
        for piece in self._pieces:
            if isinstance(piece, bytes):
                made.append(piece)
            elif isinstance(piece, tuple):
                made.append(find(*piece))
            else:
                tokens = tokens or subject.split(DOT)
                made.append(piece(tokens))
        return b"".join(made)


def token_maker(token: bytes, name: str, arguments: list[bytes]) -> Maker:
    """What `token` and `tokens` stand for. Raises ValueError."""
    text = arguments[0].strip() if len(arguments) == 1 else b""
    digits = text.removeprefix(b"-")
    number = int(text) if digits.isdigit() and len(digits) <= len(str(MOST_TOKENS)) else 0
    if not number:
        raise ValueError(f"{token.decode()!r}: the first token is {{{{{name}(1)}}}}, the last {{{{{name}(-1)}}}}")
    place = number - 1 if number > 0 else number
    if name == "tokens":
        return lambda tokens: DOT.join(tokens[place:])
    return lambda tokens: tokens[place] if -len(tokens) <= place < len(tokens) else b""


def named(token: bytes, names: Collection[str]) -> tuple[str, bytes]:
    """The name in a placeholder, where it is one of these, and its argument."""
    if token.startswith(b"$"):
        return "", b""
    name, bracket, rest = token[2:-2].strip().partition(b"(")
    found = name.strip().decode("utf-8", "replace").lower()
    if found not in names:
        return "", b""
    return found, rest.removesuffix(b")").strip() if bracket else b""


def pieces_of(text: bytes) -> list[tuple[bytes, bytes]]:
    """Each literal part with the placeholder behind it, b"" at the end. Raises ValueError."""
    found: list[tuple[bytes, bytes]] = []
    at = begin = 0
    while at < len(text):
        if text.startswith(OPENING, at):
            end = text.find(CLOSING, at)
            if end < 0:
                raise ValueError(f"{text.decode('utf-8', 'replace')!r}: {{{{ has no }}}}")
            end += len(CLOSING)
        elif text[at : at + 1] == b"$" and text[at + 1 : at + 2].isdigit():
            end = at + 1
            while text[end : end + 1].isdigit():
                end += 1
        else:
            at += 1
            continue
        found.append((text[begin:at], text[at:end]))
        at = begin = end
    found.append((text[begin:], b""))
    return found
