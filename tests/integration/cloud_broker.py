"""A broker in the cloud, as far as its published rules go: what it does not take ends the connection, and is noted.

It stands behind an HTTP proxy that leads every name to it, so that it can be called by the ports of presets. It
reads packets by itself, and knows nothing of our codec.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.integration.certificates import Site
from tests.patience import PATIENCE_SECONDS

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ = 1, 3, 4, 8, 12
# How long the values of a CONNECT's properties are that a bridge sends; a user property is two strings.
PROPERTY_SIZES = {0x11: 4, 0x21: 2, 0x27: 4, 0x22: 2, 0x17: 1, 0x19: 1}
USER_PROPERTY = 0x26


class RefusedError(Exception):
    """The broker ends the connection; the text says for what."""


@dataclass
class Rules:
    versions: tuple[int, ...] = (4, 5)
    most_qos: int = 2
    takes_retained: bool = True
    takes_user_properties: bool = True
    most_payload: int = 1 << 28
    most_slashes: int = 1 << 16
    filters_at_once: int = 1 << 16
    alpn: str = ""
    out_prefix: str = ""


@dataclass
class Introduced:
    """What a CONNECT says; `place` is where the proxy was asked to go."""

    place: str
    alpn: str | None
    version: int
    client_id: str
    user: str
    password: str
    keep_alive: int


@dataclass
class CloudBroker:
    rules: Rules
    port: int = 0
    refused: list[str] = field(default_factory=list)
    introduced: list[Introduced] = field(default_factory=list)
    # Numbers of filters, one for each SUBSCRIBE; and messages: topic, payload, QoS.
    subscribed: list[int] = field(default_factory=list)
    published: list[tuple[str, bytes, int]] = field(default_factory=list)


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        found, self.data = self.data[:size], self.data[size:]
        assert len(found) == size
        return found

    def number(self) -> int:
        value: int = struct.unpack(">H", self.take(2))[0]
        return value

    def text(self) -> str:
        return self.take(self.number()).decode()

    def varint(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


def packet(first: int, body: bytes) -> bytes:
    assert len(body) < 0x80
    return bytes((first, len(body))) + body


class Conversation:
    """One connection."""

    def __init__(self, broker: CloudBroker, stream: socket.socket, place: str, alpn: str | None) -> None:
        self.broker = broker
        self.stream = stream
        self.place = place
        self.alpn = alpn
        self.version = 0
        self.buffer = b""

    def run(self) -> None:
        while True:
            first, body = self.read()
            kind = first >> 4
            if kind == CONNECT:
                self.introduce(Reader(body))
            elif kind == PUBLISH:
                self.publish(first, Reader(body))
            elif kind == SUBSCRIBE:
                self.subscribe(Reader(body))
            elif kind == PINGREQ:
                self.stream.sendall(b"\xd0\x00")
            elif kind == PUBACK:
                pass
            else:
                return

    def read(self) -> tuple[int, bytes]:
        head = self.need(2)
        size = shift = 0
        at = 1
        while True:
            byte = self.need(at + 1)[at]
            size |= (byte & 0x7F) << shift
            shift += 7
            at += 1
            if byte < 0x80:
                break
        whole = self.need(at + size)
        self.buffer = whole[at + size :]
        return head[0], whole[at : at + size]

    def need(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = self.stream.recv(1 << 16)
            if not data:
                raise ConnectionError
            self.buffer += data
        return self.buffer

    def introduce(self, reader: Reader) -> None:
        rules = self.broker.rules
        assert reader.text() == "MQTT"
        self.version, flags = reader.take(2)
        if self.version not in rules.versions:
            raise RefusedError(f"version {self.version}")
        keep_alive = reader.number()
        if self.version == 5:
            properties = Reader(reader.take(reader.varint()))
            while properties.data:
                (kind,) = properties.take(1)
                if kind == USER_PROPERTY:
                    properties.text(), properties.text()
                    if not rules.takes_user_properties:
                        raise RefusedError("user properties in the CONNECT")
                else:
                    properties.take(PROPERTY_SIZES[kind])
        client_id = reader.text()
        assert not flags & 4
        user = reader.text() if flags & 0x80 else ""
        password = reader.text() if flags & 0x40 else ""
        told = Introduced(self.place, self.alpn, self.version, client_id, user, password, keep_alive)
        self.broker.introduced.append(told)
        self.stream.sendall(packet(0x20, b"\0\0\0" if self.version == 5 else b"\0\0"))

    def publish(self, first: int, reader: Reader) -> None:
        rules = self.broker.rules
        qos, retain = first >> 1 & 3, first & 1
        topic = reader.text()
        packet_id = reader.take(2) if qos else b""
        if self.version == 5:
            reader.take(reader.varint())
        if qos > rules.most_qos:
            raise RefusedError(f"QoS {qos}")
        if retain and not rules.takes_retained:
            raise RefusedError("a retained message")
        if topic.count("/") > rules.most_slashes:
            raise RefusedError(f"too many slashes: {topic}")
        if len(reader.data) > rules.most_payload:
            raise RefusedError(f"{len(reader.data)} bytes")
        if not topic.startswith(rules.out_prefix):
            raise RefusedError(f"topic {topic}")
        self.broker.published.append((topic, reader.data, qos))
        if qos:
            self.stream.sendall(packet(0x40, packet_id))

    def subscribe(self, reader: Reader) -> None:
        packet_id = reader.take(2)
        if self.version == 5:
            reader.take(reader.varint())
        granted = b""
        while reader.data:
            topic_filter = reader.text()
            (options,) = reader.take(1)
            if options & 3 > self.broker.rules.most_qos or topic_filter.count("/") > self.broker.rules.most_slashes:
                raise RefusedError(f"a subscription to {topic_filter}")
            granted += bytes((options & 3,))
        if len(granted) > self.broker.rules.filters_at_once:
            raise RefusedError(f"{len(granted)} filters in a SUBSCRIBE")
        self.broker.subscribed.append(len(granted))
        self.stream.sendall(packet(0x90, packet_id + (b"\0" if self.version == 5 else b"") + granted))


def serve(broker: CloudBroker, sock: socket.socket, context: ssl.SSLContext) -> None:
    with suppress(OSError, ConnectionError), sock:
        sock.settimeout(PATIENCE_SECONDS)
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += sock.recv(1)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        place = asked.split()[1].decode()
        with context.wrap_socket(sock, server_side=True) as stream:
            try:
                alpn = stream.selected_alpn_protocol()
                if broker.rules.alpn and alpn != broker.rules.alpn:
                    raise RefusedError(f"ALPN {alpn}")
                Conversation(broker, stream, place, alpn).run()
            except RefusedError as refusal:
                broker.refused.append(str(refusal))


@contextmanager
def cloud_broker(site: Site, rules: Rules) -> Iterator[CloudBroker]:
    """`port` is that of the proxy that leads to it; its name is localhost."""
    broker = CloudBroker(rules)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.path("server.pem"), site.path("server.key"))
    if rules.alpn:
        context.set_alpn_protocols([rules.alpn])
    threads: list[threading.Thread] = []
    ended = threading.Event()

    def accept() -> None:
        while not ended.is_set():
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                continue
            threads.append(threading.Thread(target=serve, args=(broker, sock, context)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        broker.port = listener.getsockname()[1]
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield broker
        finally:
            ended.set()
            accepting.join()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
