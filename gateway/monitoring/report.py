"""Report: what an endpoint or a subject answers, written as JSON; long lists in it piece by piece, in turns."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from gateway.runtime.turns import OwnTurn, Turns

Fields = dict[str, object]


class Listing:
    """A list in a report whose elements are made when they are written. An element that is None is left out."""

    __slots__ = ("elements",)

    def __init__(self, elements: Iterable[object]) -> None:
        self.elements = elements


class Later:
    """A value that is known when what stands before it is written."""

    __slots__ = ("value",)

    def __init__(self, value: Callable[[], object]) -> None:
        self.value = value


def write(report: Fields, indent: int = 2) -> Iterator[bytes]:
    """The report in pieces. Listing and Later may stand at its top only; a negative `indent` writes a single line."""
    margin = b"\n" + b" " * indent if indent >= 0 else b""
    colon = b": " if indent >= 0 else b":"
    before = b"{" + margin
    for name, value in report.items():
        yield before + msgspec.json.encode(name) + colon
        if isinstance(value, Listing):
            yield from _write_list(value.elements, margin, indent)
        else:
            yield _written(value.value() if isinstance(value, Later) else value, margin, indent)
        before = b"," + margin
    yield (b"{" if before.startswith(b"{") else margin[: 1 if indent >= 0 else 0]) + b"}"


def _write_list(elements: Iterable[object], margin: bytes, indent: int) -> Iterator[bytes]:
    inner = margin + b" " * indent if indent >= 0 else b""
    before = b"[" + inner
    for element in elements:
        if element is None:
            yield b""  # Whoever sends this may look at the clock.
            continue
        yield before + _written(element, inner, indent)
        before = b"," + inner
    yield b"[]" if before.startswith(b"[") else margin + b"]"


def _written(value: object, margin: bytes, indent: int) -> bytes:
    body = msgspec.json.encode(value)
    return msgspec.json.format(body, indent=indent).replace(b"\n", margin) if indent >= 0 else body


def is_long(report: Fields) -> bool:
    return any(isinstance(value, Listing) for value in report.values())


async def write_all(report: Fields, turns: Turns, indent: int = -1) -> bytes:
    """The whole report, written in turns."""
    pieces: list[bytes] = []
    turn = OwnTurn(turns)
    for piece in write(report, indent):
        pieces.append(piece)
        if turn.is_over():
            await turn.next()
    return b"".join(pieces)
