"""PromptGets: direct gets of the last message of a subject, answered at once where it is in memory, and else once its
chunk was read (hot).

That is what a key-value store is asked for. Everything else is for DirectGets.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gateway.dataplane.port import Port
from gateway.dataplane.router import Router
from gateway.storage.streams.looking_up import LookUp
from gateway.streams.message_headers import VERSION
from protocols.message import Message, make_plain_message

DOT = b"."
STREAM, SUBJECT = b"Nats-Stream: ", b"\r\nNats-Subject: "
SEQUENCE, TIME, END = b"\r\nNats-Sequence: ", b"\r\nNats-Time-Stamp: ", b"Z\r\n\r\n"
COLON, POINT, ZERO = b":", b".", b"0"
TWO_DIGITS = [b"%02d" % number for number in range(60)]
SECOND, MINUTE, HOUR, DAY = 1_000_000_000, 60, 3600, 86_400
# What an answer takes in memory, about, besides its bytes.
ANSWER_BYTES = 400
# Requests that wait for their chunks to be read.
MOST_AWAITED = 4096


class Gettable:
    """A stream of which messages may be had directly. `fetch` reads a chunk by its key, then makes a call (Reading)."""

    __slots__ = ("fetch", "lead", "look_up")

    def __init__(self, name: str, look_up: LookUp, fetch: Callable[[int, Callable[[], None]], None]) -> None:
        self.lead = STREAM + name.encode() + SUBJECT
        self.look_up = look_up
        self.fetch = fetch


class PromptGets:
    """Those of one account: `streams` are its streams by name, which say of themselves whether they are `gettable`.
    `waiting` are those of whom something else is answered in turns, who must wait for that. `others` takes a request
    that was waited for in vain.
    """

    __slots__ = ("_answers", "_awaited", "_date", "_day", "_others", "_port", "_router", "_streams", "_waiting")

    def __init__(
        self,
        router: Router,
        port: Port,
        streams: Mapping[str, Any],
        waiting: Mapping[Any, Any],
        answers: Any,
        others: Callable[[bytes, Message, Port], None],
    ):
        self._others = others
        self._awaited = 0
        self._router = router
        self._port = port
        self._streams = streams
        self._waiting = waiting
        # Goes on with an answer that very many take.
        self._answers = answers
        self._day = -1
        self._date = b""

    def answer(self, asked: bytes, message: Message, source: Port, again: bool = False) -> bool:
        """Answer a request for a stream, a dot and a subject, which may have waited once; False where that is for
        others to do.
        """
        reply = message.reply
        at = asked.find(DOT)
        if at <= 0 or message.size or not reply:
            return False
        if (source.may_publish is not None and not source.allows(reply)) or (self._waiting and source in self._waiting):
            return False
        stream = self._streams.get(asked[:at].decode("utf-8", "replace"))
        if stream is None:
            return False
        gettable: Gettable | None = stream.gettable
        if gettable is None:
            return False
        subject = asked[at + 1 :]
        look_up = gettable.look_up
        found = look_up.last_of(subject)
        if found is None and look_up.missing and not again and self._awaited < MOST_AWAITED:
            self._awaited += 1
            gettable.fetch(look_up.missing, partial(self._go_on, asked, message, source))
            return True
        if found is None or found.time_ns <= 0:
            return False
        header = found.header
        block = b"".join(
            (
                header[:-2] if header else VERSION,
                gettable.lead,
                subject,
                SEQUENCE,
                b"%d" % found.sequence,
                TIME,
                self._time(found.time_ns),
                END,
            )
        )
        payload = found.payload
        answer = make_plain_message(reply, len(block) + len(payload), 1)
        answer.header_size = len(block)
        answer.content = block + payload
        left = self._router.begin(answer, self._port, b"", False, False)
        if left is not None:
            self._answers(left, source, answer.size + ANSWER_BYTES)
        return True

    def _go_on(self, asked: bytes, message: Message, source: Port) -> None:
        """What a request has waited for was read, if that was possible."""
        self._awaited -= 1
        if not self.answer(asked, message, source, True):
            self._others(asked, message, source)

    def _time(self, time_ns: int) -> bytes:
        """RFC 3339 in UTC without the Z, with as many decimals as are needed (gateway.streams.times)."""
        seconds = time_ns // SECOND
        rest = time_ns - seconds * SECOND
        day = seconds // DAY
        if day != self._day:
            self._day = day
            self._date = time.strftime("%Y-%m-%dT", time.gmtime(seconds)).encode()
        seconds -= day * DAY
        hour = seconds // HOUR
        seconds -= hour * HOUR
        minute = seconds // MINUTE
        seconds -= minute * MINUTE
        clock = [self._date, TWO_DIGITS[hour], COLON, TWO_DIGITS[minute], COLON, TWO_DIGITS[seconds]]
        if rest:
            clock.append(POINT)
            clock.append((b"%09d" % rest).rstrip(ZERO))
        return b"".join(clock)
