"""Monitoring of the gateway and of a real nats-server: the same questions, and the same fields in the answers."""

import json
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.integration.peers import Peer, free_port, gateway, nats_server, wait_until
from tests.integration.raw_peer import RawPeer

CONFIG = """
[[accounts]]
name = "A"
[[users]]
name = "sys"
password = "sys"
account = "$SYS"
[[users]]
name = "a"
password = "a"
account = "A"
"""
NATS_CONFIG = """
server_name: edge
http: "127.0.0.1:{http}"
accounts {{ A {{ users: [{{user: a, password: a}}] }}, SYS {{ users: [{{user: sys, password: sys}}] }} }}
system_account: SYS
"""
# What is Go's, a cluster's, JetStream's or JWTs' alone; and what is measured at another moment after a client came.
NOT_OURS = frozenset(
    {
        "git_commit",
        "metadata",
        "feature_flags",
        "disk_io_wait_stats",
        "http_req_stats",
        "stalled_clients",
        "config_digest",
        "tls_timeout",
        "domain",
        "update_time",
        "sublist_stats",
        "name_tag",
        "allowed_connection_types",
        "tags",
        "gomemlimit",
        "rtt",
        # Those of its own from the system account.
        "imports",
    }
)
QUERIES = [
    "/varz",
    "/connz?auth=1&subs=1",
    "/connz?subs=detail",
    "/connz?state=closed&sort=stop&auth=1",
    "/subsz",
    "/subsz?subs=1&test=sensors.x",
    "/subscriptionsz?subs=1&limit=100&acc=A",
    "/leafz?subs=1",
    "/routez?subs=1",
    "/gatewayz?accs=1",
    "/accountz",
    "/accountz?acc=A",
    "/accstatz",
    "/accstatz?unused=1",
    "/jsz?accounts=1&streams=1&consumers=1&config=1",
    "/healthz",
    "/healthz?js-server-only=1",
    "/healthz?details=1",
]
BAD_QUERIES = [
    "/connz?limit=x",
    "/connz?subs=maybe",
    "/subsz?subs=maybe",
    "/subsz?test=a.*&subs=1",
    "/leafz?subs=maybe",
    "/accstatz?unused=maybe",
    "/jsz?accounts=maybe",
    "/healthz?details=maybe",
    "/healthz?stream=s",
    "/healthz?account=A&consumer=c",
]
REQUESTS = [
    ("$SYS.REQ.SERVER.PING", b""),
    *((f"$SYS.REQ.SERVER.PING.{name}", b"") for name in ("IDZ", "STATSZ", "VARZ", "SUBSZ", "ROUTEZ", "GATEWAYZ")),
    *((f"$SYS.REQ.SERVER.PING.{name}", b"") for name in ("LEAFZ", "ACCOUNTZ", "JSZ", "HEALTHZ", "RAFTZ")),
    ("$SYS.REQ.SERVER.PING.CONNZ", b'{"auth":true,"subscriptions":true,"sort":"bytes_to"}'),
    ("$SYS.REQ.SERVER.PING.VARZ", b'{"server_name":"ed"}'),
    ("$SYS.REQ.SERVER.PING.VARZ", b'{"server_name":'),
    ("$SYS.REQ.SERVER.PING.ACCOUNTZ", b'{"account":"A"}'),
    *((f"$SYS.REQ.ACCOUNT.A.{name}", b"") for name in ("CONNZ", "LEAFZ", "SUBSZ", "INFO", "STATZ", "CONNS")),
    ("$SYS.REQ.ACCOUNT.PING.STATZ", b""),
]
SILENT_REQUESTS = [
    ("$SYS.REQ.SERVER.PING.VARZ", b'{"server_name":"elsewhere"}'),
    ("$SYS.REQ.SERVER.PING.VARZ", b'{"server_name":"ed","exact_match":true}'),
    ("$SYS.REQ.SERVER.PING.VARZ", b'{"tags":["x"]}'),
    ("$SYS.REQ.ACCOUNT.NOBODY.CONNS", b""),
]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with gateway(tmp_path_factory.mktemp("edge"), monitoring=True, config=CONFIG) as peer:
        yield peer


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    http = free_port()
    with nats_server(tmp_path_factory.mktemp("reference"), NATS_CONFIG.format(http=http)) as peer:
        peer.ports["monitoring"] = http
        yield peer


def look(peer: Peer, query: str) -> tuple[int, str, bytes]:
    try:
        with urlopen(peer.url("monitoring", "http") + query) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def fields_of(told: object, place: str = "") -> dict[str, str]:
    """The kind of value at each place of an answer; all elements of a list share one, whatever their order."""
    if isinstance(told, dict):
        found = {}
        for name, value in told.items():
            found |= fields_of(value, f"{place}.{name}")
        return found | {place: "object"}
    if isinstance(told, list):
        found = {place: "list"}
        for element in told:
            found |= fields_of(element, f"{place}[]")
        return found
    if isinstance(told, bool):
        return {place: "boolean"}
    return {place: "number" if isinstance(told, int | float) else type(told).__name__}


def lacking(theirs: object, ours: object) -> dict[str, str]:
    """The fields of nats-server's answer that ours has not, or otherwise; what it tells of JetStream aside."""
    wanted, there = fields_of(theirs), fields_of(ours)
    return {
        place: kind
        for place, kind in wanted.items()
        if there.get(place) != kind
        and not any(part.strip("[]") in NOT_OURS for part in place.split("."))
        and not place.startswith((".config.", ".limits.", ".data.config.", ".data.limits."))
    }


class Visitor:
    """A client that asks for one thing after another."""

    def __init__(self, peer: Peer, user: str, name: str = "") -> None:
        self._peer = RawPeer(peer.address("nats"))
        connect = {"user": user, "pass": user, "name": name, "lang": "c", "version": "1", "protocol": 1}
        self._peer.send(b"CONNECT %b\r\nPING\r\n" % json.dumps(connect).encode())
        self._peer.read_through(b"PONG\r\n")

    def say(self, data: bytes) -> None:
        self._peer.send(data + b"PING\r\n")
        self._peer.read_through(b"PONG\r\n")

    def ask(self, subject: str, body: bytes = b"") -> object:
        """What the next answer holds."""
        self._peer.send(b"SUB in 1\r\nPUB %b in %d\r\n%b\r\n" % (subject.encode(), len(body), body))
        head = self._peer.read_line()
        while not head.startswith(b"MSG in "):
            head = self._peer.read_line()
        answer = self._peer.read(int(head.split()[-1]) + 2)
        self.say(b"UNSUB 1\r\n")
        return json.loads(answer)

    def close(self) -> None:
        self._peer.socket.close()


@pytest.fixture(scope="module")
def visited(edge: Peer, reference: Peer) -> Iterator[tuple[Peer, Peer]]:
    """At each of them a client of A with a subscription, and one that has left."""
    clients = []
    for peer in (edge, reference):
        client = Visitor(peer, "a", "app")
        client.say(b"SUB sensors.> 7\r\nSUB jobs workers 8\r\nPUB sensors.x 2\r\nhi\r\n")
        clients.append(client)
        Visitor(peer, "a", "gone").close()
    for peer in (edge, reference):
        wait_until(lambda peer=peer: b'"gone"' in look(peer, "/connz?state=closed")[2], "the end of a client")
    yield edge, reference
    for client in clients:
        client.close()


@pytest.mark.parametrize("query", QUERIES)
def test_endpoint_has_the_same_fields(visited: tuple[Peer, Peer], query: str):
    (status, kind, ours), (their_status, their_kind, theirs) = (look(peer, query) for peer in visited)
    assert (status, kind) == (their_status, their_kind)
    assert lacking(json.loads(theirs), json.loads(ours)) == {}


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_bad_parameter_has_the_same_status(visited: tuple[Peer, Peer], query: str):
    ours, theirs = (look(peer, query)[0] for peer in visited)
    assert ours == theirs == 400


@pytest.mark.parametrize(("subject", "body"), REQUESTS)
def test_request_has_the_same_fields(visited: tuple[Peer, Peer], subject: str, body: bytes):
    told = []
    for peer in visited:
        asker = Visitor(peer, "sys")
        told.append(asker.ask(subject, body))
        asker.close()
    ours, theirs = told
    assert lacking(theirs, ours) == {}


@pytest.mark.parametrize(("subject", "body"), SILENT_REQUESTS)
def test_request_that_means_others_is_not_answered(visited: tuple[Peer, Peer], subject: str, body: bytes):
    for peer in visited:
        asker = Visitor(peer, "sys")
        asker.say(b"SUB in 9\r\nPUB %b in %d\r\n%b\r\nUNSUB 9\r\n" % (subject.encode(), len(body), body))
        told = asker.ask("$SYS.REQ.SERVER.PING.IDZ")
        assert isinstance(told, dict)
        assert set(told) == {"name", "host", "id"}
        asker.close()


@pytest.mark.parametrize("subject", ["$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.USER.INFO"])
def test_other_accounts_hear_of_themselves(visited: tuple[Peer, Peer], subject: str):
    told = []
    for peer in visited:
        asker = Visitor(peer, "a", "asker")
        told.append(asker.ask(subject))
        asker.close()
    ours, theirs = told
    assert lacking(theirs, ours) == {}


@pytest.mark.parametrize("event", ["CONNECT", "DISCONNECT", "SERVER.CONNS"])
def test_event_has_the_same_fields(visited: tuple[Peer, Peer], event: str):
    told = []
    for peer in visited:
        hearer = RawPeer(peer.address("nats"))
        hearer.send(b'CONNECT {"user":"sys","pass":"sys"}\r\nSUB $SYS.ACCOUNT.A.%b 1\r\nPING\r\n' % event.encode())
        hearer.read_through(b"PONG\r\n")
        Visitor(peer, "a", "come-and-go").close()
        head = hearer.read_line()
        while not head.startswith(b"MSG"):
            head = hearer.read_line()
        told.append(json.loads(hearer.read(int(head.split()[-1]) + 2)))
        hearer.socket.close()
    ours, theirs = told
    assert ours["type"] == theirs["type"]
    assert lacking(theirs, ours) == {}


def test_who_may_not_come_in_is_told_of(visited: tuple[Peer, Peer]):
    told = []
    for peer in visited:
        hearer = RawPeer(peer.address("nats"))
        hearer.send(b'CONNECT {"user":"sys","pass":"sys"}\r\nSUB $SYS.SERVER.*.CLIENT.AUTH.ERR 1\r\nPING\r\n')
        hearer.read_through(b"PONG\r\n")
        stranger = RawPeer(peer.address("nats"))
        stranger.send(b'CONNECT {"user":"a","pass":"wrong"}\r\nPING\r\n')
        stranger.read_to_end()
        head = hearer.read_line()
        told.append(json.loads(hearer.read(int(head.split()[-1]) + 2)))
        stranger.socket.close()
        hearer.socket.close()
    ours, theirs = told
    assert (ours["type"], ours["reason"]) == (theirs["type"], theirs["reason"])
    assert set(ours) == set(theirs)
