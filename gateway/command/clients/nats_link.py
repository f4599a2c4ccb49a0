"""A link to a NATS server."""

import time
from collections import deque
from collections.abc import Sequence

from gateway.command.client_login import ClientLogin
from gateway.command.clients.link import (
    ANSWER_SECONDS,
    MAX_PAYLOAD,
    ConnectionLostError,
    Interest,
    Link,
    Outgoing,
    Received,
    Target,
)
from gateway.command.clients.strangers import ask_around, name_stranger
from gateway.command.clients.wire import Stream
from gateway.errors import ClientError
from gateway.settings.addresses import ServerUrl
from gateway.settings.secret import Secret
from gateway.version import VERSION
from protocols.errors import PeerViolation
from protocols.message import Message
from protocols.nats.client import (
    PING,
    PONG,
    ClientDecoder,
    Ping,
    Pong,
    ServerError,
    ServerInfo,
    encode_connect,
    encode_header,
    encode_publish,
    encode_subscribe,
    encode_unsubscribe,
    read_header,
    read_status,
)

# A NATS server speaks first. Who is silent for so long may be none, and is asked what it is.
SILENCE_SECONDS = 1.0


class NatsLink(Link):
    """See gateway.command.clients.link.Link. PINGs are answered on the way. Making one raises ClientError."""

    def __init__(self, stream: Stream, target: Target) -> None:
        self._stream = stream
        self._target = target
        self._url = target.url
        self._decoder = ClientDecoder(MAX_PAYLOAD)
        self._events: deque[object] = deque()
        self._max_payload = MAX_PAYLOAD
        self._subscriptions = 0
        # The first bytes, until they are known to be NATS's.
        self._said: bytes | None = b""
        self._greet()

    def subscribe(self, interests: Sequence[Interest]) -> None:
        """Return once the subscriptions stand."""
        lines = []
        for interest in interests:
            self._subscriptions += 1
            sid = b"%d" % self._subscriptions
            lines.append(encode_subscribe(interest.name, sid, interest.queue))
            if interest.most:
                lines.append(encode_unsubscribe(sid, interest.most))
        self.send(b"".join(lines))
        self.settle()

    def publish(self, messages: list[Outgoing]) -> None:
        self.send(b"".join(map(self._encode, messages)))

    def _encode(self, message: Outgoing) -> bytes:
        if message.retain:
            raise ClientError("only MQTT brokers retain messages; use mqtt:// for --retain")
        header = encode_header(list(message.fields))
        self.check_payload(len(header) + len(message.payload))
        return encode_publish(message.name, message.payload, message.reply, header)

    def check_payload(self, size: int) -> None:
        """Raises ClientError for one that the server would not take."""
        if size > self._max_payload:
            raise ClientError(f"the payload has {size} bytes, {self._url} takes at most {self._max_payload}")

    def settle(self) -> None:
        kept: list[Message] = []
        deadline = time.monotonic() + ANSWER_SECONDS
        self.send(PING)
        while not isinstance(event := self._answer(deadline), Pong):
            if isinstance(event, Message):
                kept.append(event)
        self._events.extendleft(reversed(kept))

    def next_message(self, deadline: float | None) -> Received | None:
        while not isinstance(event := self._next_event(deadline), Message):
            if event is None:
                return None
        header = event.header() if event.header_size else b""
        fields = tuple(read_header(header)) if header else ()
        status = read_status(header) if header else (0, "")
        return Received(event.subject, event.payload(), event.reply or b"", fields, status)

    def tend(self) -> None:
        kept: list[Message] = []
        while (event := self._next_event(time.monotonic())) is not None:
            if isinstance(event, Message):
                kept.append(event)
        self._events.extendleft(reversed(kept))

    def fileno(self) -> int:
        return self._stream.fileno()

    def close(self) -> None:
        self._stream.close()

    def send(self, data: bytes) -> None:
        """Bytes of the protocol."""
        try:
            self._stream.send(data)
        except ConnectionLostError:
            # What the server said before it closed tells more than the broken pipe; reading on ends in that error.
            while self._next_event(time.monotonic() + ANSWER_SECONDS) is not None:
                pass
            raise

    def _greet(self) -> None:
        """Take INFO, send CONNECT, and wait until the server let us in."""
        begun = time.monotonic()
        info = self._next_event(begun + SILENCE_SECONDS)
        if info is None:
            stranger = ask_around(self._url)
            if stranger:
                raise ClientError(f"{self._url} does not speak NATS: {stranger}")
            info = self._answer(begun + ANSWER_SECONDS)
        if not isinstance(info, ServerInfo):
            raise ClientError(f"{self._url} does not speak NATS: it did not begin with INFO")
        self._said = None
        self._note_info(info)
        self._secure(info)
        fields = connect_fields(self._url)
        login = self._target.login
        if login.seed is not None:
            fields |= _signed(login, login.seed, str(info.fields.get("nonce", "")))
        self.send(encode_connect(fields))
        self.settle()

    def _secure(self, info: ServerInfo) -> None:
        if self._url.scheme in ("ws", "wss"):
            return  # TLS is outside, or nowhere.
        wanted = self._url.scheme == "tls"
        if info.fields.get("tls_required") or (wanted and info.fields.get("tls_available")):
            if self._events:
                raise ClientError(f"{self._url} goes on without TLS, which it requires")
            self._decoder = ClientDecoder(MAX_PAYLOAD)  # Nothing that came without TLS counts inside it.
            self._stream.start_tls(self._target.tls)
        elif wanted:
            raise ClientError(f"{self._url} does not speak TLS")

    def _answer(self, deadline: float) -> object:
        event = self._next_event(deadline)
        if event is None:
            raise ConnectionLostError(f"{self._url} did not answer within {ANSWER_SECONDS:g} s")
        return event

    def _next_event(self, deadline: float | None) -> object:
        """The next event but PING and INFO that repeats; None when there is none in time. Raises ClientError."""
        while True:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, Ping):
                    self._stream.send(PONG * event.count)
                elif isinstance(event, ServerError):
                    raise ClientError(f"{self._url} says: {event.text}")
                elif isinstance(event, PeerViolation):
                    stranger = name_stranger(self._said or b"", self._url)
                    raise ClientError(f"{self._url} does not speak NATS: {stranger or event.detail}")
                else:
                    return event
            data = self._stream.receive(deadline)
            if data is None:
                return None
            if not data:
                stranger = ask_around(self._url) if self._said == b"" else ""
                if stranger:
                    raise ClientError(f"{self._url} does not speak NATS: {stranger}")
                raise ConnectionLostError(f"{self._url} closed the connection")
            if self._said is not None:
                self._said += data
            self._events.extend(self._decoder.receive(data))

    def _note_info(self, info: ServerInfo) -> None:
        limit = info.fields.get("max_payload")
        if isinstance(limit, int):
            self._max_payload = min(limit, MAX_PAYLOAD)


def connect_fields(url: ServerUrl) -> dict[str, object]:
    """The fields of CONNECT. A user without a password is a token, as every NATS client has it."""
    fields: dict[str, object] = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True}
    fields |= {"name": "leafgate command line", "lang": "python", "version": VERSION, "protocol": 1}
    if url.user is not None and url.password is None:
        fields["auth_token"] = url.user
    elif url.user is not None:
        fields |= {"user": url.user, "pass": url.password}
    return fields


def _signed(login: ClientLogin, seed: Secret, nonce: str) -> dict[str, object]:
    """The fields of a login by the NKey of a seed, and by the JWT of its user if there is one. Raises ClientError."""
    from gateway.accounts.nkeys import KeyPair, NKeyError, encode_signature

    try:
        pair = KeyPair.of_seed(seed.value)
    except NKeyError as error:
        raise ClientError(f"{seed.path or 'the seed'}: {error}") from None
    who = {"jwt": login.jwt} if login.jwt else {"nkey": pair.public}
    return {**who, "sig": encode_signature(pair.sign(nonce.encode()))}
