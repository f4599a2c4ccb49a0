"""Retained messages for NATS clients: a request with a subject filter, a reply for each message, a last one behind.

    nats request --replies=0 '$LEAFGATE.retained.get' 'sensors.>'

There are replies for what the asker may receive. Each carries the headers of its message, but for the one that says to
retain it, and `Mqtt-Retained-Subject: <subject>`; the last one is empty, with status 204, or 404 when there was none.
Setting and deleting needs no service: a header of the message itself does that.
"""

import logging
from collections.abc import Iterator

from gateway.accounts.account import Account
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import TURN_SECONDS
from gateway.transport.connection import Connection
from protocols.message import Message, make_message
from protocols.mqtt.header_mapping import without_retain
from protocols.subjects import is_valid_filter

log = logging.getLogger("leafgate.mqtt")

SUBJECT = b"$LEAFGATE.retained.get"
SUBJECT_HEADER = b"Mqtt-Retained-Subject"
END = b"NATS/1.0 204 EOB\r\n\r\n"
NONE = b"NATS/1.0 404 No Messages\r\n\r\n"
BAD_FILTER = b"NATS/1.0 400 Invalid Subject\r\n\r\n"
BUSY = b"NATS/1.0 429 Too Many Requests\r\n\r\n"
# Replies in one turn at most.
SLICE = 500
# Requests that are answered at the same time, a slice of one after a slice of the other.
MOST_REQUESTS = 64


class RetainedRequests(Receiver):
    """Answers the requests of one account."""

    __slots__ = ("_account", "_running", "_runtime")

    def __init__(self, runtime: Runtime, account: Account) -> None:
        super().__init__(Port(None), SUBJECT, b"")
        self.dear = SERVICE
        self._runtime = runtime
        self._account = account
        self._running = 0

    def deliver(self, message: Message, source: Port) -> bool:
        if not message.reply:
            return False
        subject_filter = message.payload() or b">"
        if not is_valid_filter(subject_filter) or any(character in subject_filter for character in b" \t\r\n"):
            self._reply(message.reply, source, b"", BAD_FILTER)
        elif self._running >= MOST_REQUESTS:
            self._reply(message.reply, source, b"", BUSY)
        else:
            found = self._account.retained.matching(subject_filter)
            self._running += 1
            self._runtime.spawn(lambda: self._answer(message.reply, source, found))
        return True

    async def _answer(self, reply: bytes, source: Port, found: Iterator[Message | None]) -> None:
        switch, turns = self._runtime.switch, self._runtime.turns
        count = 0
        try:
            await turns.turn()
            until = turns.clock() + TURN_SECONDS
            for message in found:
                if message is not None and not source.receives(message.subject):
                    message = None
                if message is not None:
                    self._reply(reply, source, message.payload(), retained_header(message))
                    count += 1
                if turns.clock() > until or (message is not None and count % SLICE == 0):
                    switch.flush()
                    for outbox in switch.congested:
                        if isinstance(outbox.sink, Connection):
                            await outbox.sink.relieved()
                    await turns.turn()
                    until = turns.clock() + TURN_SECONDS
            self._reply(reply, source, b"", END if count else NONE)
        except Exception:
            log.exception("event=retained-request-failed")
        finally:
            self._running -= 1
            switch.flush()

    def _reply(self, reply: bytes, source: Port, payload: bytes, header: bytes) -> None:
        answer = make_message(reply, payload, header=header)
        self._account.answer(answer, source, self.port)


def retained_header(message: Message) -> bytes:
    """The headers of a retained message, with its subject in front."""
    # The reply is a message of its own: its subject must not keep it.
    status, _, rest = (without_retain(message.header()) or b"NATS/1.0\r\n\r\n").partition(b"\r\n")
    return b"%b\r\n%b: %b\r\n%b" % (status, SUBJECT_HEADER, message.subject, rest)
