"""Progress: which messages of a buffer are under way to the hub, and what becomes of them by its answers."""

import logging
from collections.abc import Callable

import msgspec
import trio

from gateway.forwarding.buffer import Buffer
from gateway.forwarding.hub_streams import Acknowledgement, ApiError, HubStream
from gateway.forwarding.message_ids import number_of
from gateway.forwarding.window import Sent, Window
from gateway.runtime.drops import example_of
from protocols import foreign_json
from protocols.message import Message

log = logging.getLogger("leafgate.forwarding")

# The pause after a refusal doubles, from here.
FIRST_PAUSE_SECONDS = 0.1
# So many answers come between two looks at the window.
ANSWERS_AT_ONCE = 256

# Errors of JetStream (err_code).
WRONG_LAST_ID = 10070
WRONG_LAST_SEQUENCE = (10071, 10164)
TOO_LARGE = (10054, 10097)
WRONG_ID_TEXT = "wrong last msg ID: "

DECODE = foreign_json.Decoder(Acknowledgement).decode


class TroubleError(Exception):
    """Sending cannot go on as it did. `why` is in words, for people; `pauses`: there is no use in trying at once."""

    def __init__(self, why: str, pauses: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.pauses = pauses


class Progress:
    """`forwarded` counts messages that the hub has acknowledged, `repeated` those of them that it had already.
    `obstacle` says in words why nothing is forwarded although the link is up; `changed` is called when it becomes
    another.
    """

    def __init__(self, buffer: Buffer, changed: Callable[[], None]) -> None:
        self.buffer = buffer
        self.window = Window()
        self.forwarded = 0
        self.repeated = 0
        self.obstacle = ""
        self.last_error = ""
        self.changed = changed
        self.trouble: TroubleError | None = None
        self.wake = trio.Event()
        self.pause = FIRST_PAUSE_SECONDS
        # What is to be read next, and up to where something is under way or done with.
        self.next = 0
        self.covered = 0
        # What a shared stream has refused: it may have taken others of their subject that were sent behind them.
        # Elsewhere what follows one that was refused is refused, too.
        self.unstored: set[int] = set()

    def number(self, identifier: bytes) -> int | None:
        return number_of(self.buffer.stream, identifier)

    def set_apart(self, sequence: int, subject: bytes, reason: str) -> None:
        """A message can never be taken: it must not keep the others."""
        self.buffer.drops.count(reason, example=example_of(subject))
        self.done(sequence, counted=False)

    def done(self, sequence: int, repeated: bool = False, counted: bool = True, sent: Sent | None = None) -> None:
        """A message is done with, and whatever is missing in front of it, where it was `sent` or is the next."""
        if sent is not None:
            first = sent.first
        elif sequence > self.covered:
            first, self.covered = self.covered + 1, sequence
        else:
            first = sequence
        self.buffer.cursor.acknowledge_run(first, sequence)
        self.unstored.discard(sequence)
        if counted:
            self.forwarded += 1
            self.repeated += repeated

    # What the hub answers.

    def answered(self, sequence: int, message: Message) -> None:
        try:
            answer = DECODE(message.payload())
        except msgspec.MsgspecError:
            return  # Nobody's acknowledgement; the watch notices where one is missing.
        sent = self.window.get(sequence)
        if not answer.stream or (sent is not None and answer.stream != sent.stream.name):
            return  # Whoever else is interested in the subject answers, too.
        if answer.error is None and answer.seq:
            self._stored(sequence, sent, answer.duplicate)
        elif answer.error is not None and sent is not None:
            self._refused(sent, answer.error)

    def _stored(self, sequence: int, sent: Sent | None, duplicate: bool) -> None:
        if sent is None:
            # Of a link before, or of before what was under way was given up: true all the same.
            if not self.buffer.cursor.is_acknowledged(sequence) and sequence < self.next:
                self.done(sequence, duplicate)
            return
        self.window.take(sequence)
        self.done(sequence, duplicate, sent=sent)
        self.pause = FIRST_PAUSE_SECONDS
        if self.obstacle:
            log.info("buffer=%s event=goes-on waiting=%d", self.buffer.name, self.buffer.stream.messages)
            self.obstacle = ""
            self.changed()
        if len(self.window) % ANSWERS_AT_ONCE == 0 or self.trouble is not None:
            self.wake.set()

    def _refused(self, sent: Sent, error: ApiError) -> None:
        hub = sent.stream
        self.window.take(sent.sequence)
        self.wake.set()
        if error.err_code == WRONG_LAST_ID:
            number = self.number(error.description.removeprefix(WRONG_ID_TEXT).encode())
            if number is not None and number >= sent.sequence:
                self.done(sent.sequence, repeated=True, sent=sent)
            elif number is not None:
                self.stumble(TroubleError("", pauses=False))
            else:
                self._meet_stranger(hub)
        elif error.err_code in WRONG_LAST_SEQUENCE and sent.is_alone:
            # Another message has come to its subject since the last one was asked for; it is asked for anew.
            self.covered = sent.first - 1
        elif error.err_code in WRONG_LAST_SEQUENCE:
            self._meet_stranger(hub)
        elif error.err_code in TOO_LARGE:
            reason = f"stream {hub.name} does not take so large a message ({error.description})"
            self.done(sent.sequence, counted=False, sent=sent)
            self.buffer.drops.count(reason, example=example_of(sent.subject))
            self.stumble(TroubleError("", pauses=False))
        else:
            if hub.is_shared:
                self.unstored.add(sent.sequence)
            self.stumble(TroubleError(f"stream {hub.name} at the hub takes nothing: {error.description}"))

    def _meet_stranger(self, hub: HubStream) -> None:
        """A stream's last message is not the one that it was; of what follows in the window the same is said."""
        if self.trouble is None:
            hub.strangers += 1
        self.stumble(TroubleError("", pauses=False))

    def stumble(self, trouble: TroubleError) -> None:
        """The first trouble says why; the others follow from it."""
        if self.trouble is None:
            self.trouble = trouble
