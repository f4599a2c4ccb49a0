"""The serial link's state machine: one end of a session, from greeting to farewell.

Nothing here waits: time comes in as `now` (seconds of any clock that only goes forward), bytes go out when asked for.
README.md is the specification; its section numbers stand where they are implemented.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from protocols.serial_link.frames import (
    Frame,
    FrameDecoder,
    FrameType,
    Hello,
    Text,
    decode_hello,
    encode_frame,
)
from protocols.serial_link.receiver import Receiver
from protocols.serial_link.sender import Sender

HELLO_SECONDS = 0.25
PING_SECONDS = 1.0
PROBE_SECONDS = 0.25
DEAD_SECONDS = 3.0
BAUD_CONFIRM_SECONDS = 0.5
BAUD_PING_SECONDS = 0.1
BAUD_ATTEMPTS = 3
# While so many bytes of frames beside the stream wait for the line, no more join them: each of them is said again, or
# asked for again. Else a peer that only asks, and takes nothing, would fill the memory.
MOST_CONTROL = 1024
BAUD_REQUEST, BAUD_ACCEPT, BAUD_REFUSE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What one end offers. Sizes in bytes; `changes_baud`: this end takes BAUD requests."""

    name: str = ""
    mtu: int = 256
    receive_buffer: int = 16_320
    line_buffer: int = 32_768
    send_buffer: int = 65_536
    console: bool = False
    changes_baud: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """Both ends know each other. `resumed`: the stream goes on where it was; else there is a new one."""

    peer: Hello
    resumed: bool


@dataclass(frozen=True, slots=True)
class Received:
    """The next bytes of the stream; give them back with `Link.consumed`."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Silent:
    """The peer is no longer heard, or never was. Everything is kept for its return."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over; what was not acknowledged is lost. `farewell`: the peer said so."""

    farewell: bool


@dataclass(frozen=True, slots=True)
class BaudChange:
    """Send what is queued at the present rate, switch, then call `Link.baud_changed`."""

    rate: int


def solicitation() -> bytes:
    """Asks whoever is there to say HELLO, and changes nothing at its end."""
    hello = Hello(0, 0, 1, 0)
    return b"\xc0" + encode_frame(FrameType.HELLO, 0, 0, 0, 0, hello.encode(), console=True)


LinkEvent = Opened | Received | Silent | Ended | BaudChange | Text


class Link:
    """One end of a serial link.

    `random_sid` gives session ids: random, 32 bits, not 0. `baud` is the rate of the line now, for timers.
    """

    def __init__(self, settings: LinkSettings, random_sid: Callable[[], int], now: float, baud: int = 115_200) -> None:
        self.settings = settings
        self.up = False
        self.peer: Hello | None = None
        self.damaged = 0
        self.baud = self._first_baud = baud
        self.sid = 0
        self._random_sid = random_sid
        self._used = False
        self._decoder = FrameDecoder(settings.mtu)
        self._events: list[LinkEvent] = []
        self._control = bytearray()
        self._hello_at = now
        self._heard_at = self._pinged_at = now
        self._finishing = False
        self._baud_wanted = 0
        self._baud_before = 0
        self._baud_attempts = 0
        self._baud_at = math.inf
        self._quiet = True
        self._silent = False
        self._reset()

    def _reset(self) -> None:
        """A session of its own: frames of the old one validate nowhere (3.2)."""
        self.sid = self._random_sid()
        self.up = self._used = self._finishing = False
        self.peer = None
        self._decoder.seed = None
        self._baud_at = math.inf
        self._baud_wanted = self._baud_before = 0
        self.sender = Sender(self.settings.send_buffer)
        self.receiver = Receiver(self.settings.receive_buffer)

    # The stream.

    def send(self, data: bytes | memoryview) -> int:
        """Queue bytes for the peer; returns how many were taken, fewer than given when the buffer is full."""
        if self._finishing or self._events:
            return 0  # A session's bytes are not for the one after it: its end is still to be told.
        return self.sender.push(data)

    @property
    def unsent(self) -> int:
        """Bytes of the stream that the peer has not acknowledged."""
        return self.sender.pending_bytes

    def consumed(self, size: int) -> None:
        """`size` bytes of what was received are dealt with: the peer may send as many more."""
        self.receiver.consumed(size)

    def finish(self) -> None:
        """End the session when everything queued is acknowledged; `Ended` follows."""
        self._finishing = True

    def abandon(self) -> None:
        """End the session now; what is not acknowledged is lost. `Ended` follows."""
        if self.up:
            self._queue(FrameType.BYE)
        if self._used:
            self._end(farewell=False)

    def change_baud(self, rate: int, now: float) -> None:
        """Ask the peer for another rate (5). Nothing comes of it when it cannot, or does not answer."""
        if self.up and self.peer is not None and self.peer.changes_baud and rate != self.baud:
            self._baud_wanted = rate
            self._baud_attempts = 0
            self._baud_at = now

    def baud_changed(self, rate: int, now: float) -> None:
        """The line runs at `rate` now."""
        self.baud = rate
        self.sender.set_baud(rate, self.settings.mtu)
        if self._baud_before and rate != self._baud_before:
            self._baud_at = now + BAUD_CONFIRM_SECONDS
            self._pinged_at = now
            self._queue(FrameType.PING)

    # Time and bytes.

    def attach(self, now: float, baud: int) -> None:
        """The line is there (again): greet the peer, and take up the session where there is one."""
        self.up = False
        self._decoder = FrameDecoder(self.settings.mtu)
        self._control.clear()
        self.baud = self._first_baud = baud
        self._baud_before = self._baud_wanted = 0
        self._baud_at = math.inf
        self._hello_at = self._heard_at = self._pinged_at = now
        self._quiet = True
        self._silent = False
        self.sender.set_baud(baud, self.settings.mtu)

    def receive(self, data: bytes, now: float) -> list[LinkEvent]:
        """Take bytes from the line."""
        for event in self._decoder.receive(data):
            if isinstance(event, Frame):
                if event.type is FrameType.HELLO:
                    hello = decode_hello(event.payload)
                    if hello is not None:
                        self.greeted(hello, event, now)
                elif self.up:
                    self._heard_at = now
                    self._on_frame(event, now)
            elif isinstance(event, Text):
                self._events.append(event)
            else:
                self.damaged += 1
                if self.up:
                    self.receiver.acknowledge_soon(now, at_once=True)
        return self._take_events(now)

    def on_deadline(self, now: float) -> list[LinkEvent]:
        """Do what is due at `now`."""
        if now >= self._heard_at + DEAD_SECONDS and not self._silent:
            self._fall_silent(now)
        elif not self.up:
            if now >= self._hello_at:
                self._hello_at = now + HELLO_SECONDS
                self._say_hello(wants_answer=True)
        else:
            self._keep_time(now)
        return self._take_events(now)

    def _fall_silent(self, now: float) -> None:
        """The peer may have begun anew at the first rate, whether a session is open or not."""
        self._silent = True
        self.up = False
        self._decoder.seed = None
        self._baud_before = self._baud_wanted = 0
        self._baud_at = math.inf
        self._hello_at = now
        self._events.append(Silent())
        if self.baud != self._first_baud:
            self._events.append(BaudChange(self._first_baud))

    def _keep_time(self, now: float) -> None:
        """What is due in an open session."""
        if now >= self._ping_at():
            self._pinged_at = now
            self._queue(FrameType.PING)
        if now >= self._baud_at:
            self._baud_due(now)
        self.sender.on_deadline(now)

    def next_deadline(self) -> float:
        """When `on_deadline` is to be called, if nothing is received before."""
        if self._finishing and self.up and not self.sender.pending_bytes:
            return -math.inf
        if not self.up:
            return self._hello_at if self._silent else min(self._hello_at, self._heard_at + DEAD_SECONDS)
        return min(
            self._heard_at + DEAD_SECONDS,
            self._ping_at(),
            self._baud_at,
            self.receiver.acknowledge_at,
            self.sender.next_deadline(),
        )

    def bytes_to_send(self, now: float, most: int = 4096) -> bytes:
        """Whole frames for the line, until there are `most` bytes or nothing more to say."""
        out = bytearray()
        if self._control:
            out += self._control
            self._control.clear()
        if self.up:
            while len(out) < most:
                frame = self._next_frame(now)
                if frame is None:
                    break
                out += frame
        if out and self._quiet:
            out[:0] = b"\xc0"  # Ends whatever noise or text the peer has collected (2.3).
        self._quiet = not out
        return bytes(out)

    def _next_frame(self, now: float) -> bytes | None:
        assert self.peer is not None
        receiver = self.receiver
        if receiver.acknowledge_at <= now and (receiver.gaps() or not self._may_send_data(now)):
            return self._frame(FrameType.ACK, 0, receiver.bitmap())
        if self._may_send_data(now):
            sent = self.sender.next_frame(now, min(self.peer.mtu, self.settings.mtu))
            if sent is not None:
                wire = self._frame(FrameType.DATA, sent.seq, sent.payload)
                self.sender.sent(sent, len(wire))
                return wire
        if receiver.window_grew():
            return self._frame(FrameType.ACK, 0, receiver.bitmap())
        return None

    def _may_send_data(self, now: float) -> bool:
        assert self.peer is not None
        if self._baud_wanted or self._baud_before:
            return False
        return self.sender.ready(min(self.peer.mtu, self.settings.mtu), self.peer.receive_buffer)

    # The greeting (3).

    def greeted(self, hello: Hello, frame: Frame, now: float) -> None:
        """The peer has said HELLO. Also called by who heard it first and chose this link to answer it."""
        if hello.sid == self.sid:
            return  # Our own voice: the line is looped back.
        if hello.sid == 0:
            self._say_hello(wants_answer=not self.up)
            return
        self._heard_at = now
        self._silent = False
        if self.peer is None or self.peer.sid != hello.sid:
            if self._used:
                self._end(farewell=False)
            self.peer = hello
        if hello.peer_sid == self.sid:
            self._decoder.seed = hello.sid
            if not self.up:
                self._open(hello, frame, now)
        elif self._used:
            # The peer has forgotten our session (3.3).
            self._end(farewell=False)
            self.peer = hello
        if hello.wants_answer or hello.peer_sid != self.sid:
            self._say_hello(wants_answer=not self.up)

    def _open(self, hello: Hello, frame: Frame, now: float) -> None:
        resumed = self._used
        self.peer = hello
        self.up = self._used = True
        self._pinged_at = now
        self.sender.opened(resumed)
        self.sender.acknowledged(frame.ack, frame.credit, b"", now)
        self.receiver.acknowledge_soon(now, at_once=True)
        self._events.append(Opened(hello, resumed))

    def _end(self, farewell: bool) -> None:
        self._reset()
        self._events.append(Ended(farewell))

    def _say_hello(self, wants_answer: bool) -> None:
        if len(self._control) >= MOST_CONTROL:
            return
        settings = self.settings
        hello = Hello(
            self.sid,
            self.peer.sid if self.peer is not None else 0,
            settings.mtu,
            settings.line_buffer,
            settings.name,
            wants_answer,
            settings.console,
            settings.changes_baud,
        )
        receiver = self.receiver
        self._control += encode_frame(
            FrameType.HELLO, 0, 0, receiver.expected, receiver.credit(), hello.encode(), console=True
        )

    # Frames.

    def _on_frame(self, frame: Frame, now: float) -> None:
        if not self.up:
            return
        if frame.type in (FrameType.DATA, FrameType.ACK, FrameType.PING, FrameType.PONG):
            bitmap = frame.payload if frame.type is FrameType.ACK else b""
            self.sender.acknowledged(frame.ack, frame.credit, bitmap, now)
        if frame.type is FrameType.DATA:
            for data in self.receiver.receive(frame.seq, frame.payload, now):
                self._events.append(Received(data))
        elif frame.type is FrameType.PING:
            self._queue(FrameType.PONG)
        elif frame.type is FrameType.BAUD:
            self._on_baud(frame, now)
        elif frame.type is FrameType.BYE:
            self._end(farewell=True)
        if self._baud_before not in (0, self.baud) and frame.type is not FrameType.BAUD:
            self._baud_before = 0  # A frame at the new rate: it works.
            self._baud_at = math.inf

    def _on_baud(self, frame: Frame, now: float) -> None:
        rate = int.from_bytes(frame.payload[:4], "little")
        if frame.seq == BAUD_REQUEST:
            answer = BAUD_ACCEPT if self.settings.changes_baud and rate else BAUD_REFUSE
            self._queue(FrameType.BAUD, answer, frame.payload[:4])
            if answer == BAUD_ACCEPT:
                self._switch(rate)
        elif rate == self._baud_wanted:
            self._baud_wanted = 0
            self._baud_at = math.inf
            if frame.seq == BAUD_ACCEPT:
                self._switch(rate)

    def _switch(self, rate: int) -> None:
        self._baud_before = self.baud
        self._events.append(BaudChange(rate))

    def _baud_due(self, now: float) -> None:
        self._baud_at = math.inf
        if self._baud_before:  # Nothing was heard at the new rate.
            before, self._baud_before = self._baud_before, 0
            self._events.append(BaudChange(before))
        elif self._baud_attempts < BAUD_ATTEMPTS:
            self._baud_attempts += 1
            self._baud_at = now + BAUD_CONFIRM_SECONDS * 1.5
            self._queue(FrameType.BAUD, BAUD_REQUEST, self._baud_wanted.to_bytes(4, "little"))
        else:
            self._baud_wanted = 0

    def _ping_at(self) -> float:
        """A peer without room is asked sooner: the word that it has some may have been lost (4.3). So is one that may
        not have switched yet to another rate (5).
        """
        wait = PROBE_SECONDS if self.sender.blocked() else PING_SECONDS
        if self._baud_before not in (0, self.baud):
            wait = BAUD_PING_SECONDS
        return max(self._heard_at, self._pinged_at) + wait

    def _queue(self, kind: FrameType, seq: int = 0, payload: bytes = b"") -> None:
        if len(self._control) < MOST_CONTROL or kind is FrameType.BYE:  # A farewell is said once.
            self._control += self._frame(kind, seq, payload)

    def _frame(self, kind: FrameType, seq: int, payload: bytes) -> bytes:
        receiver = self.receiver
        if kind in (FrameType.DATA, FrameType.ACK):
            receiver.acknowledgement_sent(complete=kind is FrameType.ACK)
        console = self.peer is not None and self.peer.console
        return encode_frame(kind, self.sid, seq, receiver.expected, receiver.credit(), payload, console)

    def _take_events(self, now: float) -> list[LinkEvent]:
        if self._finishing and self.up and not self.sender.pending_bytes:
            self._queue(FrameType.BYE)
            self._end(farewell=False)
        events, self._events = self._events, []
        return events
