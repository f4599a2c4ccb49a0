"""Traced messages (`Nats-Trace-Dest`): what became of one is told on the subject that it names, as by nats-server.

One with `Nats-Trace-Only` goes to nobody: it is told where it would have gone. The names of the headers are heeded to
the letter, and a trace is not kept for what has no destination.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from protocols.message import Burst, Message

_ONLY_LINE = b"\r\nNats-Trace-Only:"
_DESTINATION_LINE = b"\r\nNats-Trace-Dest:"
_DISABLED = b"trace disabled"
_YES = (b"1", b"true", b"on")


@dataclass(slots=True)
class Traced:
    """A message whose way is to be told to `destination`; `only`: it is not delivered."""

    message: Message
    destination: bytes
    only: bool


def set_apart(events: list[object]) -> list[object]:
    """The events of a batch, some of which have headers, with those that are traced as Traced."""
    result: list[object] = []
    for event in events:
        if type(event) is Message and event.header_size:
            result.append(_judged(event))
        elif type(event) is Burst and event.header_size:
            judged = [_judged(message) for message in event.messages()]
            if any(type(one) is Traced for one in judged):
                result += judged
            else:
                result.append(event)
        else:
            result.append(event)
    return result


def _judged(message: Message) -> Message | Traced:
    header = message.header()
    destination = _value(header, _DESTINATION_LINE)
    if destination in (b"", _DISABLED):
        return message
    return Traced(message, destination, _value(header, _ONLY_LINE).lower() in _YES)


def _value(header: bytes, line: bytes) -> bytes:
    start = header.find(line)
    if start < 0:
        return b""
    start += len(line)
    return header[start : header.find(b"\r\n", start)].strip(b" \t")


def header_fields(header: bytes) -> Iterator[tuple[str, str]]:
    """Names and values, without those that have none."""
    for line in header.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        value = value.strip(b" \t")
        if name and value:
            yield name.decode("utf-8", "replace"), value.decode("utf-8", "replace")
