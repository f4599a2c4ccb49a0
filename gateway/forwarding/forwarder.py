"""Forwarder: brings what waits in a buffer to its hub, in order, and moves the cursor with the hub's acknowledgements.

Each message carries its id (`Nats-Msg-Id`), and is refused by the hub's stream where the one before it is not the last
there (`Nats-Expected-Last-Msg-Id`). So a message that is sent once more is not stored once more, however long the
outage was, and none is left out. Where others feed the stream, too, that cannot be said: then the hub is asked before
sending again which of ours is its last on each subject, behind one message that goes alone (`_send_alone`).

Whatever goes wrong, the answer is the same: send nothing more, wait for what is under way, find out from the hub how
far it has come, and go on behind that.
"""

import logging
from collections.abc import Callable

import trio

from gateway.dataplane.nats_receivers import LeafRoute
from gateway.errors import StorageError
from gateway.forwarding.buffer import Buffer
from gateway.forwarding.hub_streams import HubError, HubStream, HubStreams, Inbox, LastOfSubject
from gateway.forwarding.message_headers import (
    SentHeaders,
    expect_last_id,
    expect_last_of_subject,
    expect_last_sequence,
)
from gateway.forwarding.progress import FIRST_PAUSE_SECONDS, Progress, TroubleError
from gateway.forwarding.window import Sent
from gateway.runtime.drops import example_of
from gateway.storage.streams.stored_message import StoredMessage
from gateway.uplink.link_line import LinkLine
from protocols.message import make_message

log = logging.getLogger("leafgate.forwarding")

# What is read at once and sent before others have their turn.
SLICE_MESSAGES = 512
SLICE_BYTES = 256 << 10
# What is sent waits in the link's outbox up to here: live messages stand behind it.
MOST_WAITING_BYTES = 512 << 10
# The pause after a refusal doubles up to this.
LONGEST_PAUSE_SECONDS = 15.0
# Where no stream takes a subject it is asked this often whether there is one by now.
LEARN_SECONDS = 1.0
PLAIN_LEARN_SECONDS = 30.0
# A link that takes nothing any more is about to be told as lost.
CLOSING_SECONDS = 0.05
# So often a stream's last message may be another one than ours, before others are said to feed it.
MOST_STRANGERS = 2
# So often all that was sent may be in vain, as where a hub has just become another, before that is told.
MOST_FRUITLESS = 5
NO_REASON = "the hub does not take the next message and does not say why; its log may, as of a disk that is full"
# Subjects that are asked for at once.
LOOKED_UP_AT_ONCE = 256
# Of a subject on which there is no message.
NOTHING = LastOfSubject(0, 0)


class Forwarder(Progress):
    """Between `run` and its cancellation forwards one buffer over one link.

    `plain` counts messages that no stream was asked to take, `resent` those that were sent before.
    """

    def __init__(self, buffer: Buffer, line: LinkLine, changed: Callable[[], None]) -> None:
        super().__init__(buffer, changed)
        self.line = line
        self.plain = 0
        self.resent = 0
        self._headers = SentHeaders()
        self._inbox = Inbox(line, self.answered)
        self._streams = self._make_streams()
        self._learnt_at = -LEARN_SECONDS
        self._is_up = False
        # Up to here messages may have been sent before.
        self._doubtful = 0
        # What was forwarded when something was wrong last, and how often in a row nothing was since.
        self._forwarded_before = -1
        self._fruitless = 0
        self._ways: dict[bytes, LeafRoute] = {}
        self._allowance = 0.0
        self._allowed_at = 0.0

    async def run(self) -> None:
        buffer = self.buffer
        buffer.account.router.subscribe(self._inbox)
        buffer.stream.listeners.append(self._committed)
        self.line.join(self)
        self._doubtful = buffer.stream.last
        try:
            while True:
                if not self._is_up:
                    await self._woken()
                    continue
                try:
                    await self._forward()
                except (TroubleError, HubError, StorageError) as error:
                    await self._recover(error)
                except Exception:
                    # Whatever it was: nobody would notice a buffer that is forwarded no more.
                    log.exception("buffer=%s event=failed", buffer.name)
                    await self._recover(TroubleError("an error in the gateway itself; its log tells more"))
        finally:
            self.line.leave(self)
            buffer.stream.listeners.remove(self._committed)
            buffer.account.router.unsubscribe(self._inbox)

    # What the line tells (gateway.uplink.link_line.LineUser).

    def line_up(self) -> None:
        self._is_up = True
        self._ways.clear()
        self.pause = FIRST_PAUSE_SECONDS
        self.wake.set()
        self.changed()

    def line_down(self) -> None:
        self._is_up = False
        self._ways.clear()
        self._inbox.give_up()
        self.obstacle = ""
        # What was under way is not answered over another link.
        self.window.clear()
        self.stumble(TroubleError("", pauses=False))
        self.wake.set()
        self.changed()

    def config_changed(self) -> None:
        """What the buffer is configured with is something else."""
        self._streams = self._make_streams()
        self.stumble(TroubleError("", pauses=False))
        self.wake.set()

    # Sending.

    def _committed(self) -> None:
        self.wake.set()

    @property
    def unsent(self) -> int:
        """Nothing from this number on is under way."""
        return (self.covered if len(self.window) else self.buffer.cursor.floor) + 1

    async def _woken(self, deadline: float = float("inf")) -> None:
        with trio.CancelScope(deadline=deadline):
            await self.wake.wait()
        self.wake = trio.Event()

    async def _forward(self) -> None:
        """Send until something is wrong, or the link is gone. Raises TroubleError, HubError, StorageError."""
        await self._begin()
        stream, window = self.buffer.stream, self.window
        while self._is_up:
            if self.trouble is not None:
                raise self.trouble
            self._watch()
            if not window.has_room or self.next > stream.committed:
                await self._woken(self._patience_ends())
                continue
            if self.line.waiting_bytes() > MOST_WAITING_BYTES:
                with trio.move_on_after(self._patience()):
                    await self.line.relieved()
                await trio.lowlevel.checkpoint()
                if self.line.waiting_bytes() > MOST_WAITING_BYTES:
                    await trio.sleep(0.001)
                continue
            messages, size = window.room()
            most = min(messages, SLICE_MESSAGES, await self._allowed())
            found = await stream.read(self.next, most, min(size, SLICE_BYTES))
            is_sent = await self._send(found.messages, found.next)
            self.line.flush()
            await trio.lowlevel.checkpoint()
            if not is_sent:
                await self._woken(trio.current_time() + CLOSING_SECONDS)

    async def _begin(self) -> None:
        """Find out where to go on."""
        self.trouble = None
        # Also what went out over a link that is gone, which ends the sending without any error.
        self._doubtful = max(self._doubtful, self.next - 1)
        self.window.clear()
        self._streams.unsettle()
        self._ways.clear()
        await self._learn()
        before = self.next
        self.covered = self.buffer.cursor.floor
        self.next = self.covered + 1
        self.unstored = {one for one in self.unstored if one > self.covered}
        self.resent += max(before - self.next, 0)

    def _make_streams(self) -> HubStreams:
        config = self.buffer.config
        filters = [subject.encode() for subject in config.subjects]
        return HubStreams(self._inbox, config.jetstream_domain, filters, config.acknowledge_timeout_seconds)

    async def _learn(self) -> None:
        self._learnt_at = trio.current_time()
        try:
            await self._streams.learn()
        except HubError:
            if self.buffer.config.require_stream:
                raise

    async def _send(self, messages: list[StoredMessage], end: int) -> bool:
        """Send some messages; behind them the next one is `end`. False where the link takes nothing any more."""
        for message in messages:
            hub = self._streams.of(message.subject) or await self._find(message.subject)
            if hub is not None and not hub.is_settled:
                await self._streams.settle(hub, self.number)
                self._settled(hub)
            if hub is not None and (hub.is_foreign or hub.is_shared) and self._must_look_up(hub, message):
                await self._look_up(hub, messages)
            if not self._is_up or self.trouble is not None:
                return True
            if hub is None:
                is_sent = self._send_plain(message)
            elif self._is_there(hub, message):
                is_sent = True
            elif self._must_go_alone(hub, message):
                return await self._send_alone(hub, message)
            else:
                is_sent = self._send_to(hub, message)
            if not is_sent:
                return False
            self.next = message.sequence + 1
        self.next = max(self.next, end)
        return True

    def _is_there(self, hub: HubStream, message: StoredMessage) -> bool:
        """Whether the hub has the message already; then it is done with."""
        sequence = message.sequence
        if self.buffer.cursor.is_acknowledged(sequence):
            self.done(sequence, counted=False)
            return True
        last = hub.looked_up.get(message.subject, NOTHING)
        if sequence in self.unstored:
            is_there = sequence in (last.number, hub.stored_through)
        else:
            is_there = sequence <= max(hub.stored_through, last.number)
        if not is_there:
            return False
        self.done(sequence, repeated=True)
        return True

    def _must_go_alone(self, hub: HubStream, message: StoredMessage) -> bool:
        """Whether a stream that others feed may get the message in another way, too, or had it before."""
        if not hub.is_shared:
            return False
        return message.sequence in self.unstored or (message.sequence <= self._doubtful and not hub.is_through)

    async def _send_alone(self, hub: HubStream, message: StoredMessage) -> bool:
        """Have the hub take a message only where its subject has seen none since it was looked up, and wait for what
        becomes of it. False where the link takes nothing any more.

        A stream works through what comes to it in order. So behind this one's answer nothing is on its way any more of
        what went out before the link was lost, and what the stream tells then may be relied upon.
        """
        await self._answered()
        if not self._is_up or self.trouble is not None:
            return True
        if not self._send_to(hub, message, hub.looked_up.get(message.subject, NOTHING)):
            return False
        is_sent = len(self.window) > 0  # One that can never be taken is not.
        self.line.flush()
        await self._answered()
        if is_sent and self._is_up and self.trouble is None:
            hub.unsettle()
            hub.is_through = True
        return True

    async def _answered(self) -> None:
        """Wait until nothing is under way, or something is wrong. Raises TroubleError."""
        while self._is_up and self.trouble is None and len(self.window):
            self._watch()
            await self._woken(self._patience_ends())

    def _send_to(self, hub: HubStream, message: StoredMessage, last: LastOfSubject | None = None) -> bool:
        """`last`: the message goes alone, and is to follow that one."""
        sequence, time_ns, subject, stored, payload = message
        identifier = self.buffer.stream.message_id(sequence)
        if last is not None:
            expected = expect_last_of_subject(last.sequence)
        elif hub.is_shared:
            expected = b""
        elif hub.last_id:
            expected = expect_last_id(hub.last_id)
        else:
            expected = expect_last_sequence(hub.last_sequence)
        header = self._headers.make(stored, time_ns, identifier, expected)
        sent = make_message(subject, payload, b"%b%d" % (self._inbox.prefix, sequence), header)
        way = self._ways.get(subject) or self._find_way(subject)
        if way is None or way.link.outbox is None or way.link.outbox.closed:
            return False
        if sent.size > way.max_payload:
            reason = f"a message is larger than the hub takes, {way.max_payload} bytes with its header"
            self.set_apart(sequence, subject, reason)
        elif not self.line.send(sent, way):
            self.set_apart(sequence, subject, "the subject is longer than a line to the hub")
        else:
            hub.last_id = identifier
            now = trio.current_time()
            self.window.add(Sent(self.covered + 1, sequence, subject, sent.size, hub, now, last is not None))
            self.covered = sequence
        return True

    def _find_way(self, subject: bytes) -> LeafRoute | None:
        way = self.line.way(subject, told=False)
        if way is not None and not way.permitted:
            raise TroubleError(f"the hub does not permit us to publish on {example_of(subject)}")
        if way is not None:
            if len(self._ways) > 10_000:
                self._ways.clear()
            self._ways[subject] = way
        return way

    async def _find(self, subject: bytes) -> HubStream | None:
        """The stream that takes a subject, which we know nothing of; None where the message is to be sent plainly."""
        hub = None
        seconds = LEARN_SECONDS if self.buffer.config.require_stream else PLAIN_LEARN_SECONDS
        if trio.current_time() >= self._learnt_at + seconds:
            await self._learn()
            hub = self._streams.of(subject)
        if hub is None and self.buffer.config.require_stream:
            raise TroubleError(f"the hub has no stream that takes {example_of(subject)}")
        return hub

    def _send_plain(self, message: StoredMessage) -> bool:
        """As a message that comes while the link is up: to whoever wants it there now."""
        sequence, time_ns, subject, stored, payload = message
        header = self._headers.make(stored, time_ns, self.buffer.stream.message_id(sequence), b"")
        if self.line.send(make_message(subject, payload, b"", header)):
            self.plain += 1
        self.done(sequence, counted=False)
        return True

    async def _look_up(self, hub: HubStream, messages: list[StoredMessage]) -> None:
        """See in a stream that others feed how far ours have come in the subjects of some messages."""
        wanted = [*dict.fromkeys(one.subject for one in messages if self._must_look_up(hub, one))]
        for begin in range(0, len(wanted), LOOKED_UP_AT_ONCE):
            await self._streams.look_up(hub, wanted[begin : begin + LOOKED_UP_AT_ONCE], self.number)

    def _must_look_up(self, hub: HubStream, message: StoredMessage) -> bool:
        if message.sequence > self._doubtful or message.subject in hub.looked_up:
            return False
        return self._streams.of(message.subject) is hub

    def _settled(self, hub: HubStream) -> None:
        if hub.is_foreign and hub.strangers >= MOST_STRANGERS and not hub.is_shared:
            hub.is_shared = True
            log.warning(
                "buffer=%s event=shared-stream stream=%s hint='others publish into it, too: what was sent before an "
                "outage is compared by the last id of each subject'",
                self.buffer.name,
                hub.name,
            )

    # Time.

    def _patience(self) -> float:
        return self.buffer.config.acknowledge_timeout_seconds

    def _patience_ends(self) -> float:
        oldest = self.window.oldest_at()
        return oldest + self._patience() if oldest is not None else float("inf")

    def _watch(self) -> None:
        """See whether acknowledgements come. Raises TroubleError."""
        if trio.current_time() >= self._patience_ends():
            self.line.ask()
            raise TroubleError(
                f"the hub has not acknowledged a message for {self._patience():g} s: its stream is gone or has no "
                "leader, the link is dead, or the hub does not let us subscribe to _INBOX.>",
            )

    async def _allowed(self) -> int:
        """How many messages may be sent now."""
        rate = self.buffer.config.max_messages_per_second
        if not rate:
            return SLICE_MESSAGES
        while True:
            now = trio.current_time()
            # What was not used for a tenth of a second is not made up for.
            self._allowance = min(self._allowance + (now - self._allowed_at) * rate, max(rate / 10, 1.0))
            self._allowed_at = now
            if self._allowance >= 1.0:
                allowed = int(min(self._allowance, SLICE_MESSAGES))
                self._allowance -= allowed
                return allowed
            await trio.sleep((1.0 - self._allowance) / rate)

    async def _recover(self, error: Exception) -> None:
        """Wait for what is under way, and for a while where trying at once is of no use."""
        pauses = error.pauses if isinstance(error, TroubleError) else True
        self.trouble = None
        self._doubtful = max(self._doubtful, self.next - 1)
        if not self._is_up:
            return
        self._fruitless = self._fruitless + 1 if self.forwarded == self._forwarded_before else 0
        pauses = pauses or self._fruitless > 0
        self._forwarded_before = self.forwarded
        why = str(error) or (NO_REASON if self._fruitless >= MOST_FRUITLESS else "")
        if why:
            self.last_error = why
            if why != self.obstacle:
                waiting = self.buffer.stream.messages
                log.warning("buffer=%s event=held reason=%r waiting=%d", self.buffer.name, why, waiting)
                self.obstacle = why
                self.changed()
        give_up = trio.current_time() + self._patience()
        while self._is_up and len(self.window) and trio.current_time() < give_up:
            await self._woken(give_up)
        if pauses and self._is_up:
            until = trio.current_time() + self.pause
            self.pause = min(self.pause * 2, LONGEST_PAUSE_SECONDS)
            while self._is_up and trio.current_time() < until:
                await self._woken(until)
