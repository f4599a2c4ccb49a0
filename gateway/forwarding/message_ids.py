"""Message ids: which messages of a stream here a hub's ids mean."""

from gateway.storage.streams.stream import Stream


def number_of(stream: Stream, identifier: bytes) -> int | None:
    """The sequence of the message with that id (`Stream.message_id`); None for an id that is not this stream's."""
    epoch, _, number = identifier.rpartition(b"-")
    if not (number.isdigit() and len(number) < 16):
        return None
    sequence = int(number)
    return sequence if stream.message_id(sequence) == b"%b-%b" % (epoch, number) else None
