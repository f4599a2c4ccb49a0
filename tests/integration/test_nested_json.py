"""JSON that nobody expects, to every subject that the gateway answers itself: one answer, and the client stays."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.peers import Peer, gateway
from tests.integration.raw_peer import RawPeer

DEEP = 10_000
CONFIG = "[streams]\nmax-bytes = 100000000\n"
NASTY = {
    "arrays": b"[" * DEEP,
    "nested arrays": b"[" * DEEP + b"]" * DEEP,
    "nested objects": b'{"x":' * DEEP + b"1" + b"}" * DEEP,
    "bytes": b'{"x":"\xff"}',
    "numbers": b'{"batch":%b,"expires":%b,"seq":%b,"offset":%b,"delay":%b}' % ((b"9" * 400,) * 5),
}
# As long as Go takes them.
NUMBERS = b'{"batch":%b,"expires":%b,"max_bytes":%b,"no_wait":true}' % ((b"%d" % ((1 << 63) - 1),) * 3)
ASKED = [
    "$JS.API.INFO",
    "$JS.API.STREAM.CREATE.T",
    "$JS.API.STREAM.UPDATE.S",
    "$JS.API.STREAM.INFO.S",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.PURGE.P",
    "$JS.API.STREAM.MSG.GET.S",
    "$JS.API.STREAM.MSG.DELETE.S",
    "$JS.API.CONSUMER.CREATE.S.C",
    "$JS.API.CONSUMER.DURABLE.CREATE.S.C",
    "$JS.API.CONSUMER.PAUSE.S.C",
    "$JS.API.CONSUMER.MSG.NEXT.S.C",
    "$JS.API.DIRECT.GET.S",
    "$LEAFGATE.console.clients",
    "$LEAFGATE.console.subjects",
    "$LEAFGATE.stream.get",
    "$LEAFGATE.time",
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.ACCOUNT.PING.CONNZ",
    "$SYS.REQ.ACCOUNT.PING.STATZ",
]
TRANSFORMS = [{"src": f"a{number}", "dest": "b"} for number in range(20_000)]
CONSUMER = {"durable_name": "C", "ack_policy": "explicit", "ack_wait": 60_000_000_000}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    with gateway(directory, config=CONFIG, data_directory=directory / "data") as peer:
        with Client(peer) as client:
            client.ask("$JS.API.STREAM.CREATE.S", encode({"name": "S", "subjects": ["s"], "allow_direct": True}))
            client.ask("$JS.API.STREAM.CREATE.P", encode({"name": "P"}))
            client.ask("$JS.API.CONSUMER.CREATE.S.C", encode({"stream_name": "S", "config": CONSUMER}))
            config = CONSUMER | {"durable_name": "N"}
            client.ask("$JS.API.CONSUMER.CREATE.S.N", encode({"stream_name": "S", "config": config}))
            for _ in range(20):
                client.ask("s", b"x")
        yield peer
        assert "Traceback" not in peer.log()


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


class Client(RawPeer):
    """A NATS client that hears one answer to each request."""

    def __init__(self, edge: Peer) -> None:
        super().__init__(edge.address("nats"))
        self.send(b'CONNECT {"headers":true,"verbose":false,"pedantic":false}\r\nSUB in.* 1\r\nPING\r\n')
        self.read_through(b"PONG\r\n")
        self._requests = 0

    def ask(self, subject: str, payload: bytes, header: bytes = b"") -> bytes:
        """The first answer, its headers before it."""
        self._requests += 1
        inbox = b"in.%d" % self._requests
        size = b"%d" % (len(header) + len(payload))
        operation, sizes = (b"HPUB", b"%d %b" % (len(header), size)) if header else (b"PUB", size)
        line = b" ".join((operation, subject.encode(), inbox, sizes))
        self.send(b"%b\r\n%b%b\r\n" % (line, header, payload))
        while True:
            words = self.read_line().split()
            told = self.read(int(words[-1]) + 2)[:-2]
            # A message of a stream has its own subject.
            if words[1] == inbox or not words[1].startswith(b"in."):
                return told


@pytest.mark.parametrize("nasty", NASTY)
def test_every_request_is_answered_whatever_it_says(edge: Peer, nasty: str) -> None:
    with Client(edge) as client:
        for subject in ASKED:
            assert client.ask(subject, NASTY[nasty])
        client.send(b"PING\r\n")
        client.read_through(b"PONG\r\n")


def test_numbers_as_large_as_may_be_are_numbers(edge: Peer) -> None:
    with Client(edge) as client:
        for _ in range(3):
            assert client.ask("$JS.API.CONSUMER.MSG.NEXT.S.N", NUMBERS)
            assert client.ask("$JS.API.DIRECT.GET.S", NUMBERS)


@pytest.mark.parametrize("said", [*NASTY.values(), b"1s" * 500_000, b"1" * 500_000 + b"s"])
def test_whoever_refuses_a_message_may_say_anything_of_when(edge: Peer, said: bytes) -> None:
    with Client(edge) as client:
        client.send(b"PUB $JS.API.CONSUMER.MSG.NEXT.S.C in.0 0\r\n\r\n")
        words = client.read_line().split()
        client.read(int(words[-1]) + 2)
        assert client.ask(words[3].decode(), b"-NAK " + said) == b""


@pytest.mark.parametrize(
    "sources",
    [
        {"sources": [{"name": "A", "subject_transforms": TRANSFORMS}]},
        {"sources": [{"name": f"A{number}"} for number in range(20_000)]},
        {
            "mirror": {
                "name": "A",
                "subject_transforms": TRANSFORMS,
            }
        },
        {"subjects": [f"{'a.' * 3000}{number}" for number in range(120)]},
        {"placement": {"tags": [[]]}},
    ],
)
def test_a_stream_that_takes_long_to_check_is_refused(edge: Peer, sources: dict[str, object]) -> None:
    with Client(edge) as client:
        told = json.loads(client.ask("$JS.API.STREAM.CREATE.T", encode({"name": "T"} | sources)))
        assert "error" in told
        assert "did_create" not in told


def test_a_consumer_that_takes_long_to_check_is_refused(edge: Peer) -> None:
    with Client(edge) as client:
        for more in (
            {"filter_subjects": [f"{'a.' * 3000}{number}" for number in range(120)]},
            {"metadata": {"a": "b" * 200_000}},
            {"backoff": [1] * 100_000, "max_deliver": -1},
        ):
            asked = {"stream_name": "S", "config": CONSUMER | {"durable_name": "D"} | more}
            assert "error" in json.loads(client.ask("$JS.API.CONSUMER.CREATE.S.D", encode(asked)))


STREAM_NUMBERS = [
    "max_consumers",
    "max_msgs",
    "max_bytes",
    "max_age",
    "max_msgs_per_subject",
    "max_msg_size",
    "duplicate_window",
    "first_seq",
    "subject_delete_marker_ttl",
]
CONSUMER_NUMBERS = [
    "opt_start_seq",
    "ack_wait",
    "max_deliver",
    "rate_limit_bps",
    "max_waiting",
    "max_ack_pending",
    "max_batch",
    "max_expires",
    "max_bytes",
    "inactive_threshold",
]
LARGEST = (1 << 63) - 1


@pytest.mark.parametrize("value", [LARGEST, -LARGEST - 1, 1 << 40])
def test_every_number_of_a_stream_may_be_as_large_as_it_likes(edge: Peer, value: int) -> None:
    """It is taken or refused, and what it is of works."""
    with Client(edge) as client:
        for name in STREAM_NUMBERS:
            config = {"name": "L", "subjects": ["l.*"], "allow_msg_ttl": True, name: value}
            told = json.loads(client.ask("$JS.API.STREAM.CREATE.L", encode(config)))
            if "error" in told:
                continue
            for header in (b"Nats-TTL: 99999999999", b"Nats-TTL: 99999999999999h", b"Nats-Msg-Id: a"):
                assert b"stream" in client.ask("l.a", b"x", b"NATS/1.0\r\n%b\r\n\r\n" % header)
            assert b"state" in client.ask("$JS.API.STREAM.INFO.L", b"")
            assert b"true" in client.ask("$JS.API.STREAM.DELETE.L", b"")


@pytest.mark.parametrize("value", [LARGEST, -LARGEST - 1, 1 << 40])
def test_every_number_of_a_consumer_may_be_as_large_as_it_likes(edge: Peer, value: int) -> None:
    with Client(edge) as client:
        for name in CONSUMER_NUMBERS:
            if name == "inactive_threshold" and value < 0:
                continue  # It would be gone at once.
            config = {"durable_name": "L", "ack_policy": "explicit", name: value}
            if name == "opt_start_seq":
                config["deliver_policy"] = "by_start_sequence"
            asked = encode({"stream_name": "S", "config": config})
            if b'"error"' in client.ask("$JS.API.CONSUMER.CREATE.S.L", asked):
                continue
            assert client.ask("$JS.API.CONSUMER.MSG.NEXT.S.L", b'{"batch":1,"no_wait":true}')
            assert b"delivered" in client.ask("$JS.API.CONSUMER.INFO.S.L", b"")
            assert b"true" in client.ask("$JS.API.CONSUMER.DELETE.S.L", b"")
