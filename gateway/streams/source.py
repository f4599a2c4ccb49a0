"""Source: a stream whose messages another one has as well, among others, under numbers of its own."""

import trio

from gateway.storage.streams.cursor import Cursor
from gateway.streams import message_headers as headers
from gateway.streams.inflow import Inflow
from gateway.streams.inflow_messages import Place
from gateway.streams.mirror import stable_name, told_of
from gateway.streams.name_hash import name_hash
from gateway.streams.origin_config import StreamOrigin
from gateway.streams.roles import Copying

MESSAGES_AT_ONCE = 1024
BYTES_AT_ONCE = 1 << 20
# Fields of the header that says where a message comes from: stream, sequence, filter, destination, subject, and,
# where the origin's server tells it, identity.
FIELDS, ALL_FIELDS = 4, 6


class Source(Inflow):
    """The inflow of one. `cursor` keeps, in the commit that has the messages themselves, which one of the origin was
    the last, and the identity of the origin. `once`: no other source of the stream has a stream of that name.
    `is_known`: the cursor was there before.
    """

    kind = "S"

    def __init__(self, stream: Copying, origin: StreamOrigin, cursor: Cursor, once: bool, is_known: bool) -> None:
        super().__init__(stream, origin)
        self._cursor = cursor
        self.once = once
        self._has_begun_anew = False
        self._index = origin.index
        self.sequence = cursor.floor
        self.identity = cursor.note.encode()
        self._is_known = is_known or not stream.stored.last

    @property
    def consumer_name(self) -> str:
        name = stable_name(self.stream)
        text = name_hash(name) if self.once else f"{name_hash(name)} {self._index}"
        return f"JS_SRC_{name_hash(text)}"

    @property
    def metadata(self) -> dict[str, str]:
        return told_of(self.stream, "src")

    def open(self) -> None:
        if self._is_known:
            super().open()
        else:
            self._home.spawn(self._find_place)

    async def _find_place(self) -> None:
        """In a stream that was brought here as it is: what its messages say of where they came from."""
        stored, first = self.stream.stored, 1
        while first <= stored.committed:
            found, first = await stored.read(first, MESSAGES_AT_ONCE, BYTES_AT_ONCE)
            await trio.lowlevel.checkpoint()
            for message in found:
                if headers.SOURCE in message.header:
                    self._heed_source(headers.nats_fields(message.header).get(headers.SOURCE, b""))
        if not self.stream.is_closed:
            self.note_place()
            super().open()

    def _heed_source(self, told: bytes) -> None:
        fields = told.decode("utf-8", "surrogateescape").split(" ")
        if len(fields) >= FIELDS and f"{fields[0]} {fields[2]} {fields[3]}" == self._index and fields[1].isdigit():
            self.sequence = int(fields[1])
            self.identity = fields[5].encode() if len(fields) >= ALL_FIELDS else b""

    def begin(self) -> dict[str, object]:
        """Behind the last message that came; where none did yet, as the configuration says."""
        if self.sequence:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": self.sequence + 1}
        if self.origin.opt_start_seq:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": self.origin.opt_start_seq}
        if self.origin.opt_start_time and not self._has_begun_anew:
            return {"deliver_policy": "by_start_time", "opt_start_time": self.origin.opt_start_time}
        return {"deliver_policy": "all"}

    def begun(self, before: int) -> None:
        self.sequence = max(self.sequence, before)
        self._cursor.acknowledge_through(self.sequence)

    def recreated(self) -> bool:
        self.sequence = 0
        self.identity = b""
        self._has_begun_anew = True
        self._cursor.rewind(0)
        return True

    def shortened(self, last: int) -> bool:
        self.sequence = last
        self._cursor.rewind(last)
        return True

    def note_place(self) -> None:
        self._cursor.acknowledge_through(self.sequence)
        self._cursor.set_note(self.identity.decode("latin-1"))

    def told(self) -> dict[str, object]:
        """How it is, in the API's fields."""
        return super().told() | ({"seq": self.sequence} if self.sequence else {})

    def keep(self, place: Place, origin: bytes, subject: bytes, header: bytes, payload: bytes) -> None:
        """A message whose id came lately is not kept once more."""
        if headers.SOURCE in header:
            header = headers.without_fields(header, headers.SOURCE)
        name, wanted, destinations = self._index.encode("utf-8", "surrogateescape").split(b" ")
        fields = [name, b"%d" % place.sequence, wanted, destinations, origin]
        told = b" ".join([*fields, self.identity] if self.identity else fields)
        self.stream.keep_copy(subject, headers.with_fields(header, (headers.SOURCE, told)), payload, 0)
        self._cursor.acknowledge_through(place.sequence)
