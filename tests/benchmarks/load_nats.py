"""A NATS client for load: connects, subscribes, and makes the bytes of its publications ahead of time."""

from byte_streams import Stream, WebSocketStream
from machine import LoadError
from server_process import Address

_CONNECT = (
    b'CONNECT {"verbose":false,"pedantic":false,"lang":"bench","version":"1",'
    b'"protocol":1,"echo":true,"headers":true,"no_responders":false}\r\n'
)


class NatsClient:
    """One NATS connection, over TCP or a WebSocket."""

    def __init__(self, stream: Stream, first_sid: int = 1, login: bytes = b"") -> None:
        self.stream = stream
        self._next_sid = first_sid
        self.info = stream.receive_until(b"\r\n")
        stream.send(_CONNECT.replace(b"{", b"{" + login))
        self.flush()

    @classmethod
    def over_tcp(cls, address: Address, first_sid: int = 1) -> "NatsClient":
        return cls(Stream(address), first_sid)

    @classmethod
    def of_user(cls, address: Address, user: str, password: str) -> "NatsClient":
        return cls(Stream(address), login=f'"user":"{user}","pass":"{password}",'.encode())

    @classmethod
    def over_websocket(cls, address: Address) -> "NatsClient":
        return cls(WebSocketStream(address, "/"))

    def subscribe(self, *subjects: str) -> None:
        """Subscribe to each and wait until the server has taken them."""
        lines = []
        for subject in subjects:
            lines.append(f"SUB {subject} {self._next_sid}\r\n")
            self._next_sid += 1
        self.stream.send("".join(lines).encode())
        self.flush()

    @staticmethod
    def name(subject: str) -> bytes:
        """The subject as it stands in a control line."""
        return subject.encode()

    def publication(self, subject: str, payload: bytes, reply: str = "") -> bytes:
        reply_field = f"{reply} " if reply else ""
        return f"PUB {subject} {reply_field}{len(payload)}\r\n".encode() + payload + b"\r\n"

    def flush(self) -> None:
        """Wait until the server has handled everything sent before; discards what arrives meanwhile."""
        self.stream.send(b"PING\r\n")
        answer = self.stream.receive_until(b"PONG\r\n")
        if b"-ERR" in answer:
            raise LoadError(f"the server refused: {answer[:200]!r}")

    def answer_pings(self) -> None:
        """Answer a PING that already waits, without waiting for one."""
        self.stream.socket.settimeout(0)
        try:
            if b"PING\r\n" in self.stream.receive():
                self.stream.send(b"PONG\r\n")
        except BlockingIOError:
            pass
        finally:
            self.stream.socket.settimeout(None)

    @staticmethod
    def split(data: bytes) -> tuple[list[bytes], bytes]:
        """The whole deliveries in it, and what remains of one that is not whole; other lines are left out."""
        found = []
        at = 0
        while (line_end := data.find(b"\r\n", at) + 2) > 1:
            end = line_end
            if data.startswith((b"MSG ", b"HMSG "), at):
                end += int(data[at : line_end - 2].rpartition(b" ")[2]) + 2
                if end > len(data):
                    break
                found.append(data[at:end])
            at = end
        return found, data[at:]

    @staticmethod
    def deliveries(data: bytes) -> bytes:
        """What was received, less the server's own PINGs."""
        return data.replace(b"PING\r\n", b"")
