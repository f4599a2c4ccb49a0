"""Run: the next messages of a consumer, as they go out to one subject, all of them at once (hot)."""

from typing import Any

from gateway.storage.streams.stored_message import MESSAGE_BYTES
from gateway.streams.consumer_state import ConsumerState
from gateway.streams.message_headers import MESSAGE_SIZE, with_fields
from gateway.streams.supply import Supply
from protocols.message import make_plain_message
from protocols.nats.stream_replies import make_reply


class Run:
    """`fill` makes it of a supply, and nothing has changed by that; `settle` says how many were taken.

    `messages` are those that go out, `size` their bytes with both subjects. Where the first one did not fit,
    `next_size` is its size. `field` is one that is put into the header of each, on top of what fits.
    """

    __slots__ = (
        "_kept",
        "_lead",
        "_sequences",
        "field",
        "headers_only",
        "messages",
        "next_size",
        "size",
        "state",
        "supply",
    )

    def __init__(self, lead: bytes, state: ConsumerState, supply: Supply, headers_only: bool) -> None:
        self._lead = lead
        self.state = state
        self.supply = supply
        self.headers_only = headers_only
        self.field: tuple[bytes, bytes] | None = None
        self.messages: list[Any] = []
        # What they were in the stream: sequence, and size there.
        self._sequences: list[int] = []
        self._kept: list[int] = []
        self.size = self.next_size = 0

    def fill(self, most: int, room: int, whole: bool, ahead: int) -> int:
        """Take so many messages at most, of together so many bytes; one that is larger is taken alone, but not where
        all must fit (`whole`). `ahead` messages are left in front of them. Returns how many were taken.
        """
        supply = self.supply
        number = self.state.number
        messages: list[Any] = []
        self.messages = messages
        self._sequences = []
        self._kept = []
        size = count = 0
        self.next_size = 0
        while count < most and supply.look():
            header, payload = supply.header, supply.payload
            kept = MESSAGE_BYTES + len(supply.subject) + len(header) + len(payload)
            if self.headers_only:
                header, payload = with_fields(header, (MESSAGE_SIZE, b"%d" % len(payload))), b""
            number += 1
            left = ahead - count - 1
            reply = make_reply(self._lead, 1, supply.sequence, number, supply.time_ns, left if left > 0 else 0)
            message_size = len(supply.subject) + len(reply) + len(header) + len(payload)
            if size + message_size > room and (whole or count):
                self.next_size = message_size
                break
            if self.field is not None:
                header = with_fields(header, self.field)
            body = header + payload if header else payload
            message = make_plain_message(supply.subject, len(body), 1)
            message.reply = reply
            message.header_size = len(header)
            message.content = body
            messages.append(message)
            self._sequences.append(supply.sequence)
            self._kept.append(kept)
            size += message_size
            count += 1
            supply.drop()
        self.size = size
        return count

    def settle(self, taken: int, deadline: float, acknowledged: bool) -> None:
        """The first of them were taken; they are to be acknowledged by then, if at all."""
        state = self.state
        for index in range(taken):
            if acknowledged:
                message = self.messages[index]
                state.expect(self._sequences[index], deadline, message.subject, self._kept[index])
            else:
                state.deliver(self._sequences[index])

    def what_was(self, taken: int) -> list[tuple[int, bytes, int]]:
        """Sequence, subject and size in the stream of the first of them."""
        facts = zip(self._sequences, self.messages, self._kept, strict=True)
        return [(sequence, message.subject, kept) for sequence, message, kept in facts][:taken]
