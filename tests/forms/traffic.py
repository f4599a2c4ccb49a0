"""Random traffic: what clients and hubs may say, mostly right and sometimes not, from a source of random numbers.

Few names and sizes, so that things meet: subscriptions and subjects, equal lines in a row, limits and what passes them.
"""

import random
import zlib
from collections.abc import Callable

Said = Callable[[random.Random], bytes]

SUBJECTS = (b"a", b"a.b", b"a.b.c", b"x.1", b"x.2", b"sensors.kitchen.temp", b"$KV.b.k", b"\xc3\xa9.t", b"a" * 140)
FILTERS = (*SUBJECTS[:5], b"*", b"a.*", b"a.>", b">", b"*.b.*", b"sensors.*.temp", b"x.*", b"_I.>")
BAD_SUBJECTS = (b"a..b", b".a", b"a.", b">", b"a.*", b"_GR_.a", b"$NRG.x", b"a\x00b", b"$LDS.x")
REPLIES = (b"_I.1", b"_I.22", b"a.b", b"nobody.listens", b"$JS.ACK.s.c.1.2.3.4.5", b"_R_.x")
ACK_REPLIES = (b"$JS.ACK.s.c.1.2.3.4.5@orig.subject", b"$JS.ACK.d.h.s.c.1.2.3.4.5.t@o", b"$JS.ACK.s@c", b"_I.9")
QUEUES = (b"q", b"r", b"workers")
TOPICS = (b"a", b"a/b", b"a/b/c", b"x/1", b"x/2", b"sensors/kitchen/temp", b"a//b", b"/a", b"a.b", b"\xc3\xa9/t")
TOPIC_FILTERS = (*TOPICS, b"#", b"+", b"a/#", b"a/+", b"+/b/+", b"x/+", b"sensors/+/temp", b"$SYS/#")
# Around the places where the code changes its ways: copies, views, gathered sends, early flushes.
SIZES = (*(0, 1, 2, 3, 16, 16, 100, 127, 128, 300) * 3, 2047, 2048, 5000, 17_000, 70_000)
RUNS = (1, 1, 1, 1, 2, 3, 7, 30)
HEADERS = (b"NATS/1.0\r\n\r\n", b"NATS/1.0\r\nA: 1\r\n\r\n", b"NATS/1.0 503\r\nNats-Subject: a\r\n\r\n")
MOST_IN_A_RUN = 600_000
INFO = (
    b'INFO {"server_id":"H","server_name":"hub","proto":3,"client_id":7,"max_payload":%d,"info_on_connect":true,'
    b'"connect_info":%b,"jetstream":true,"remote_account":"A"%b}\r\n'
)


def nats_client(source: random.Random) -> bytes:
    """One thing that a NATS client says, or a run of equal messages."""
    return _pick(source, _NATS)(source)


def headerless_nats_client(source: random.Random) -> bytes:
    """The same of a client that has agreed on no headers."""
    return _pick(source, _HEADERLESS_NATS)(source)


def hub(source: random.Random) -> bytes:
    """One thing that a hub says over a leafnode link."""
    return _pick(source, _HUB)(source)


def mqtt_client(source: random.Random) -> bytes:
    """One packet of an MQTT 3 client behind its CONNECT, or a run of equal ones."""
    return _pick(source, _MQTT)(source)


def websocket_client(source: random.Random) -> bytes:
    """One message of a WebSocket client in one frame or several, some of it compressed; or a control frame."""
    if source.random() < 0.1:
        close = source.choice((1000, 1001, 3000, 1005)).to_bytes(2) + b"bye"
        return _frame(source, *source.choice(((0x88, close), (0x89, b"there?"), (0x89, b""), (0x8A, b"a" * 125))))
    opcode, content = source.choice(((2, _payload(source)), (2, _pub(source)), (1, b"PUB \xc3\xa9 1\r\nx\r\n")))
    if source.random() < 0.2:
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        content, opcode = (packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4], opcode | 0x40
    *others, last = cut(source, content)
    stream = b""
    for fragment in others:
        stream += _frame(source, opcode, fragment) + (_frame(source, 0x89, b"?") if source.random() < 0.2 else b"")
        opcode = 0
    return stream + _frame(source, opcode | 0x80, last)


def damaged(source: random.Random, stream: bytes) -> bytes:
    """The stream with some of its bytes changed, left out or doubled."""
    data = bytearray(stream)
    for _ in range(source.choice((1, 1, 2, 5))):
        place = source.randrange(len(data) + 1)
        size = source.choice((1, 1, 1, 2, 9))
        damage = source.randrange(4)
        if damage == 0:
            data[place : place + size] = source.randbytes(len(data[place : place + size]))
        elif damage == 1:
            del data[place : place + size]
        elif damage == 2:
            data[place:place] = data[place : place + 40 * size]
        else:
            data[place:place] = source.choice((b"\r\n", b"\n", b" ", b"\t", b"\0", b"\xff", b"9", b"-", b"999999999"))
    return bytes(data)


def cut(source: random.Random, stream: bytes) -> list[bytes]:
    """The stream in pieces, as a network may cut it."""
    edges = sorted(source.randrange(len(stream) + 1) for _ in range(source.choice((0, 0, 1, 2, 6))))
    return [stream[start:stop] for start, stop in zip([0, *edges], [*edges, len(stream)], strict=True)]


def _frame(source: random.Random, first: int, payload: bytes) -> bytes:
    """A masked frame."""
    size, key = len(payload), source.randbytes(4)
    if size < 126:
        head = bytes((first, 0x80 | size))
    else:
        head = bytes((first, 0xFE)) + size.to_bytes(2) if size < 1 << 16 else bytes((first, 0xFF)) + size.to_bytes(8)
    mask = (key * (size // 4 + 1))[:size]
    return head + key + (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(size)


def _pick(source: random.Random, choices: tuple[tuple[int, Said], ...]) -> Said:
    return source.choices([said for _, said in choices], [weight for weight, _ in choices])[0]


def _subject(source: random.Random) -> bytes:
    return source.choice(BAD_SUBJECTS if source.random() < 0.02 else SUBJECTS)


def _payload(source: random.Random) -> bytes:
    size = source.choice(SIZES)
    return source.choice((b"x" * size, b"\r\n" * (size // 2), b"PUB a 1\r\n" * (size // 9)))


def _repeated(source: random.Random, message: bytes) -> bytes:
    return message * min(source.choice(RUNS), 1 + MOST_IN_A_RUN // len(message))


def _message(operation: bytes, subject: bytes, middle: bytes, header: bytes, payload: bytes) -> bytes:
    sizes = b"%d %d" % (len(header), len(header) + len(payload)) if header else b"%d" % len(payload)
    return b"%b %b %b%b\r\n%b%b\r\n" % (operation, subject, middle, sizes, header, payload)


def _pub(source: random.Random) -> bytes:
    reply = source.choice(REPLIES) + b" " if source.random() < 0.3 else b""
    return _repeated(source, _message(b"PUB", _subject(source), reply, b"", _payload(source)))


def _hpub(source: random.Random) -> bytes:
    reply = source.choice(REPLIES) + b" " if source.random() < 0.3 else b""
    return _repeated(source, _message(b"HPUB", _subject(source), reply, source.choice(HEADERS), _payload(source)))


def _uncanonical(source: random.Random) -> bytes:
    payload = _payload(source)
    gap = source.choice((b"  ", b"\t", b" \t "))
    end = source.choice((b"\r\n", b"\n", b" \r\n"))
    operation = source.choice((b"pub", b"Pub", b"PUB"))
    return b"%b%b%b%b%03d%b%b\r\n" % (operation, gap, _subject(source), gap, len(payload), end, payload)


def _sub(source: random.Random) -> bytes:
    queue = source.choice(QUEUES) + b" " if source.random() < 0.3 else b""
    return b"SUB %b %b%d\r\n" % (source.choice(FILTERS), queue, source.randrange(9))


def _unsub(source: random.Random) -> bytes:
    maximum = b" %d" % source.randrange(6) if source.random() < 0.5 else b""
    return b"UNSUB %d%b\r\n" % (source.randrange(9), maximum)


def _control(source: random.Random) -> bytes:
    return source.choice((b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"ping\r\n", b'CONNECT {"echo":false}\r\n'))


def _leaf_message(source: random.Random) -> bytes:
    kind = source.randrange(4)
    queues = b" ".join(source.sample(QUEUES, source.randrange(3)))
    middle = (b"", source.choice(ACK_REPLIES) + b" ", b"+ _I.1 %b " % queues, b"| %b " % queues)[kind]
    header = source.choice(HEADERS) if source.random() < 0.3 else b""
    operation = b"HMSG" if header else b"LMSG"
    return _repeated(source, _message(operation, _subject(source), middle, header, _payload(source)))


def _leaf_interest(source: random.Random) -> bytes:
    queue = source.choice(QUEUES) if source.random() < 0.4 else b""
    weight = b" %d" % source.randrange(4) if queue else b""
    if source.random() < 0.6:
        return b"LS+ %b%b%b\r\n" % (source.choice(FILTERS), b" " + queue if queue else b"", weight)
    return b"LS- %b%b\r\n" % (source.choice(FILTERS), b" " + queue if queue else b"")


def _leaf_control(source: random.Random) -> bytes:
    denied = b',"export":{"deny":["%b"]},"import":{"allow":["a.>","x.*"]}' % source.choice(FILTERS)
    info = INFO % (source.choice((100, 1 << 20)), b"true", source.choice((b"", denied.replace(b"\xc3", b""))))
    return source.choice((b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'No'\r\n", info, info))


def packet(first: int, body: bytes) -> bytes:
    """An MQTT control packet."""
    size = len(body)
    length = bytearray()
    while True:
        size, digit = size >> 7, size & 0x7F
        length.append(digit | 0x80 if size else digit)
        if not size:
            return b"%c%b%b" % (first, length, body)


def _text(value: bytes) -> bytes:
    return len(value).to_bytes(2) + value


def mqtt_connect(level: int, client_id: bytes, will: bool = False) -> bytes:
    """A CONNECT with a clean session and no keep-alive."""
    name = b"MQIsdp" if level == 3 else b"MQTT"
    properties = b"\0" if level == 5 else b""
    last_words = (properties + _text(b"a/b") + _text(b"gone")) if will else b""
    flags = 0x06 if will else 0x02
    return packet(0x10, _text(name) + bytes((level, flags, 0, 0)) + properties + _text(client_id) + last_words)


def _publish(source: random.Random) -> bytes:
    flags = source.choice((0, 0, 0, 0, 1, 2, 2, 4, 3, 10))
    packet_id = source.randrange(1, 6).to_bytes(2) if flags & 6 else b""
    body = _text(source.choice(TOPICS)) + packet_id + _payload(source)
    return _repeated(source, packet(0x30 | flags, body))


def _subscribe(source: random.Random) -> bytes:
    wanted = [source.choice(TOPIC_FILTERS) for _ in range(source.choice((1, 2)))]
    filters = b"".join(_text(topic_filter) + bytes((source.randrange(3),)) for topic_filter in wanted)
    return packet(0x82, source.randrange(1, 9).to_bytes(2) + filters)


def _unsubscribe(source: random.Random) -> bytes:
    return packet(0xA2, source.randrange(1, 9).to_bytes(2) + _text(source.choice(TOPIC_FILTERS)))


def _mqtt_control(source: random.Random) -> bytes:
    packet_id = source.randrange(1, 6).to_bytes(2)
    return packet(source.choice((0x40, 0x62)), packet_id) if source.random() < 0.7 else b"\xc0\x00"


def _acknowledgements(source: random.Random) -> bytes:
    first = source.choice((0x40, 0x50, 0x62, 0x70))
    return b"".join(packet(first, source.randrange(1, 40).to_bytes(2)) for _ in range(source.choice(RUNS)))


def _publishes_in_turn(source: random.Random) -> bytes:
    """Packets in a row that differ in topic and packet identifier."""
    payload, first = _payload(source)[:300], source.choice((0x30, 0x32, 0x34))
    return b"".join(
        packet(first, _text(topic) + (number.to_bytes(2) if first != 0x30 else b"") + payload)
        for number, topic in enumerate(source.sample(TOPICS, 4), start=source.randrange(1, 30))
    )


_HEADERLESS_NATS: tuple[tuple[int, Said], ...] = (
    (10, _pub),
    (2, _uncanonical),
    (8, _sub),
    (3, _unsub),
    (1, _control),
)
_NATS: tuple[tuple[int, Said], ...] = (*_HEADERLESS_NATS, (3, _hpub))
_HUB: tuple[tuple[int, Said], ...] = ((10, _leaf_message), (8, _leaf_interest), (2, _leaf_control))
_MQTT: tuple[tuple[int, Said], ...] = (
    (10, _publish),
    (2, _publishes_in_turn),
    (6, _subscribe),
    (2, _unsubscribe),
    (2, _mqtt_control),
    (2, _acknowledgements),
)
