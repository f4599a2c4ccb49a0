"""TLS transport: a stream inside TLS, over the transport that carries its records. A batch in, a batch out.

OpenSSL reads and writes memory, not the socket: one read of the socket brings all the records that are there, and one
write takes all that the batch led to. Nothing that was decrypted stays behind, so that what there is to read is told by
the transport below alone.
"""

import ssl

from gateway.transport.reader import Readable
from gateway.transport.tls_words import reason_of
from gateway.transport.transport import SocketTransport
from protocols.message import Buffer

# The most that one record holds, and what it takes on the wire.
RECORD_BYTES = 1 << 14
LARGEST_RECORD = RECORD_BYTES + 256
# OpenSSL's memory for what comes and what goes never shrinks: it is filled by so many bytes at a time.
SLICE_BYTES = 1 << 16
# What we owe the peer besides data (answers to its key updates): one that takes none of it is not waited for.
MOST_OWED_BYTES = 1 << 16


class TlsTransport:
    """A stream whose handshake is done: `engine` reads from `incoming` and writes to `outgoing`."""

    patient = False

    __slots__ = ("_below", "_claimed", "_ended", "_engine", "_incoming", "_outgoing", "_wire", "peer")

    def __init__(
        self, below: SocketTransport, engine: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self.peer = below.peer
        self._below = below
        self._engine = engine
        self._incoming = incoming
        self._outgoing = outgoing
        self._ended = False
        # Records that the transport below has not taken yet, and how many bytes of what was to be sent are in them: it
        # was not said that these were taken, so they come again with the next call.
        self._wire: memoryview | bytes = b""
        self._claimed = 0

    @property
    def local(self) -> tuple[str, int]:
        return self._below.local

    def begin(self, readable: Readable) -> None:
        self._below.begin(readable)

    def receive(self, size: int) -> bytes | None:
        """About `size` bytes, and never less than a record: what came with it is not left for later."""
        if self._ended:
            return b""
        data = self._below.receive(size + (size >> 3) + LARGEST_RECORD)
        if not data:
            return data
        return self._decrypt(data)

    def first(self) -> bytes | None:
        """What came behind the peer's handshake; None when nothing has, b"" at the end of the stream."""
        return self._decrypt(b"")

    def _decrypt(self, data: bytes) -> bytes | None:
        incoming, read = self._incoming, self._engine.read
        pieces: list[bytes] = []
        view = memoryview(data)
        start, size = 0, len(data)
        try:
            while True:
                if start < size:
                    incoming.write(view[start : start + SLICE_BYTES])
                    start += SLICE_BYTES
                try:
                    while incoming.pending:
                        piece = read(RECORD_BYTES)
                        if not piece:
                            return self._end(pieces)
                        pieces.append(piece)
                except ssl.SSLWantReadError:
                    pass
                if start >= size:
                    break
        except ssl.SSLError as error:
            self._settle()  # It may say what was wrong.
            raise OSError(f"TLS: {reason_of(error)}") from None
        if self._outgoing.pending:
            self._settle()
            if len(self._wire) > MOST_OWED_BYTES:
                raise OSError("TLS: the peer asks for new keys and does not read")
        if len(pieces) == 1:
            return pieces[0]
        return b"".join(pieces) or None

    def _end(self, pieces: list[bytes]) -> bytes:
        """The peer has said that it sends no more."""
        self._ended = True
        if pieces:
            self._below.end_reading()  # So that the end is seen in the next round, too.
        return b"".join(pieces)

    def send(self, data: Buffer) -> int:
        if self._wire and not self._send_wire():
            return 0
        size = len(data)
        done, self._claimed = self._claimed, 0
        if size - done <= SLICE_BYTES and not done:
            return self._send_slice(data)
        view = memoryview(data)
        while done < size:
            stop = min(done + SLICE_BYTES, size)
            if not self._send_slice(view[done:stop]):
                return done
            done = stop
        return done

    def _send_slice(self, data: Buffer) -> int:
        """All or none of it is taken."""
        try:
            self._engine.write(data)
        except ssl.SSLError as error:
            raise OSError(f"TLS: {reason_of(error)}") from None
        wire = self._outgoing.read()
        sent = self._below.send(wire)
        if sent < len(wire):
            self._wire = memoryview(wire)[sent:]
            self._claimed = len(data)
            return 0
        return len(data)

    def send_pieces(self, pieces: list[Buffer]) -> int:
        return self.send(b"".join(pieces))

    def _send_wire(self) -> bool:
        """Whether nothing of earlier records is left to send."""
        sent = self._below.send(self._wire)
        self._wire = memoryview(self._wire)[sent:] if sent < len(self._wire) else b""
        return not self._wire

    def _settle(self) -> None:
        """Send what OpenSSL itself has to say, as far as the peer takes it; what it does not goes before data."""
        self._wire = bytes(self._wire) + self._outgoing.read()
        try:
            self._send_wire()
        except OSError:
            pass  # The peer is gone, which reading tells.

    def watch_room(self, wanted: bool) -> None:
        self._below.watch_room(wanted)

    def pause(self) -> None:
        self._below.pause()

    def resume(self) -> None:
        self._below.resume()

    def end(self) -> bool:
        try:
            self._engine.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # It waits for the peer's own end, which is not waited for.
        self._settle()
        return self._below.end()

    def abort(self) -> None:
        self._below.abort()

    def close(self) -> None:
        self._below.close()
