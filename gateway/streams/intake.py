"""Intake: how messages that are published come into a stream (hot)."""

from typing import Any

from gateway.dataplane.port import Port, Receiver
from gateway.storage.streams.appending import Appending
from gateway.storage.streams.limits import RefusedError
from gateway.streams.duplicates import Duplicates
from gateway.streams.message_headers import MARK
from gateway.streams.promises import Promises
from protocols.message import Burst, Message

# How the reply subject of a message ends that is one of a fast batch.
FAST_BATCH = b".$FI"


class Gate:
    """What lets most messages into a stream: those of `largest` bytes at most that ask for nothing but to be stored,
    where that `is_open`. A PubAck, where there is to be one (`answers`), begins with `lead`.
    """

    __slots__ = ("_duplicates", "_promises", "_stored", "answers", "is_open", "largest", "lead")

    def __init__(self, stored: Appending, promises: Promises, duplicates: Duplicates) -> None:
        self._stored = stored
        self._promises = promises
        self._duplicates = duplicates
        self.is_open = False
        self.answers = True
        self.largest = 0
        self.lead = b""

    def lets_in(self, message: Message, source: Port) -> bool:
        """Store a message, and answer its publisher once it is on the disk; False for one that is to be looked at.
        Raises RefusedError.
        """
        reply = message.reply
        header = b""
        if not self.is_open or message.size > self.largest:
            return False
        if reply and (reply.endswith(FAST_BATCH) or not self._promises.has_room()):
            return False
        if message.header_size:
            header = message.header()
            if MARK in header:
                return False
        sequence = self._stored.append(message.subject, header, message.payload())
        self._duplicates.last = b""
        if reply and self.answers:
            self._promises.promise(reply, source, b"%b%d}" % (self.lead, sequence))
        return True


# What taking a message costs, in deliveries.
TAKING = 8


class Intake(Receiver):
    """What is published on one of a stream's subjects goes into it: a ServedStream."""

    __slots__ = ("_gate", "_stream")

    def __init__(self, port: Port, subject: bytes, gate: Gate, stream: Any) -> None:
        super().__init__(port, subject, b"")
        self.dear = TAKING
        self._gate = gate
        self._stream = stream

    def deliver(self, message: Message, source: Port) -> bool:
        try:
            if self._gate.lets_in(message, source):
                return True
        except RefusedError as error:
            self._stream.turn_away(message, source, error)
            return True
        self._stream.take(message, source)
        return True

    def deliver_burst(self, burst: Burst, source: Port) -> None:
        for message in burst.messages():
            self.deliver(message, source)
