"""Messages that only trace their way (`Nats-Trace-Only`): nats-server takes them and delivers them to nobody.

It heeds the names of the headers to the letter, and only beside a `Nats-Trace-Dest`.
"""

from protocols.message import Burst, Message

_ONLY_LINE = b"\r\nNats-Trace-Only:"
_DESTINATION_LINE = b"\r\nNats-Trace-Dest:"
_DISABLED = b"trace disabled"
_YES = (b"1", b"true", b"on")


class Traced:
    """A message that is not delivered."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size


def set_apart(events: list[object]) -> list[object]:
    """The events of a batch, some of which have headers, with those that only trace as Traced."""
    result: list[object] = []
    for event in events:
        if type(event) is Message and event.header_size:
            result.append(Traced(event.size) if is_trace_only(event.header()) else event)
        elif type(event) is Burst and event.header_size:
            messages = event.messages()
            traced = [is_trace_only(message.header()) for message in messages]
            if any(traced):
                result += [Traced(one.size) if only else one for one, only in zip(messages, traced, strict=True)]
            else:
                result.append(event)
        else:
            result.append(event)
    return result


def is_trace_only(header: bytes) -> bool:
    return _value(header, _ONLY_LINE).lower() in _YES and _value(header, _DESTINATION_LINE) not in (b"", _DISABLED)


def _value(header: bytes, line: bytes) -> bytes:
    start = header.find(line)
    if start < 0:
        return b""
    start += len(line)
    return header[start : header.find(b"\r\n", start)].strip(b" \t")
