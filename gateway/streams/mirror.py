"""Mirror: a stream that is another one once more, with the same sequences and times."""

from gateway.storage.streams.cursor import Cursor
from gateway.streams.inflow import Inflow
from gateway.streams.inflow_messages import Place
from gateway.streams.name_hash import name_hash
from gateway.streams.origin_config import StreamOrigin
from gateway.streams.roles import Copying


class Mirror(Inflow):
    """The inflow of one. `cursor` keeps the identity of the origin that it is a mirror of."""

    kind = "M"

    def __init__(self, stream: Copying, origin: StreamOrigin, cursor: Cursor) -> None:
        super().__init__(stream, origin)
        self._cursor = cursor
        self.identity = cursor.note.encode()
        self.sequence = stream.stored.last

    @property
    def consumer_name(self) -> str:
        return f"JS_MIRROR_{name_hash(stable_name(self.stream))}"

    @property
    def metadata(self) -> dict[str, str]:
        return told_of(self.stream, "mirror")

    def begin(self) -> dict[str, object]:
        """Behind the last message, even where that has gone; where there was none yet, as the configuration says."""
        self.sequence = self.stream.stored.last
        if self.sequence:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": self.sequence + 1}
        if self.origin.opt_start_seq:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": self.origin.opt_start_seq}
        if self.origin.opt_start_time:
            return {"deliver_policy": "by_start_time", "opt_start_time": self.origin.opt_start_time}
        return {"deliver_policy": "all"}

    def begun(self, before: int) -> None:
        if before > self.sequence:
            self.stream.stored.skip_to(before + 1)
            self.sequence = before

    def recreated(self) -> bool:
        """What is here cannot be taken for messages of another stream; where nothing is, that one is as good."""
        if self.stream.stored.last:
            return False
        self.identity = b""
        return True

    def shortened(self, last: int) -> bool:
        """The numbers are in use here."""
        return False

    def note_place(self) -> None:
        self._cursor.set_note(self.identity.decode("latin-1"))

    def keep(self, place: Place, origin: bytes, subject: bytes, header: bytes, payload: bytes) -> None:
        stored = self.stream.stored
        last = stored.last
        if place.sequence > last + 1:
            stored.skip_to(place.sequence)
        self.stream.keep_copy(subject, header, payload, place.time_ns)


def stable_name(stream: Copying) -> str:
    """What tells one stream from all others, and is the same after a restart."""
    return " ".join(filter(None, (stream.name, stream.home.account.name, stream.home.domain)))


def told_of(stream: Copying, what: str) -> dict[str, str]:
    """What the consumer at the origin is told of who listens."""
    told = {f"_nats.{what}.stream": stream.name, f"_nats.{what}.acc": stream.home.account.name}
    return told | ({f"_nats.{what}.domain": stream.home.domain} if stream.home.domain else {})
