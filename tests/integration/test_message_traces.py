"""Traced messages: the same messages to the gateway and to nats-server, and the same steps in what both tell."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.integration.peers import Peer, gateway, nats_server
from tests.integration.raw_peer import RawPeer

CONFIG = """
[[accounts]]
name = "plant"
exports = [{ stream = "telemetry.>" }, { service = "calc.*" }]
mappings = { "old.x" = "new.x" }
[[accounts]]
name = "office"
imports = [
  { stream = "telemetry.>", account = "plant", prefix = "plant" },
  { service = "calc.*", account = "plant", to = "math.*" },
]
[[users]]
name = "plant"
password = "plant"
account = "plant"
[[users]]
name = "office"
password = "office"
account = "office"
[[users]]
name = "guest"
password = "guest"
account = "plant"
permissions = { publish = { allow = ["free.>", "traces"] } }
"""
NATS_CONFIG = """
accounts {
  plant {
    users: [
      {user: plant, password: plant}
      {user: guest, password: guest, permissions: {publish: {allow: ["free.>", "traces"]}}}
    ]
    exports: [{stream: "telemetry.>"}, {service: "calc.*"}]
    mappings: {"old.x": "new.x"}
  }
  office {
    users: [{user: office, password: office}]
    imports: [
      {stream: {account: plant, subject: "telemetry.>"}, prefix: "plant"}
      {service: {account: plant, subject: "calc.*"}, to: "math.*"}
    ]
  }
}
"""
# Who publishes on which subject, and with which headers beside the destination.
MESSAGES = [
    ("plant", "a.b", ""),
    ("plant", "a.b", "Nats-Trace-Only: true\r\n"),
    ("plant", "a.b", "Nats-Trace-Only: maybe\r\nOther: 1\r\nOther: 2\r\n"),
    ("plant", "jobs.1", ""),
    ("plant", "jobs.1", "Nats-Trace-Only: on\r\n"),
    ("plant", "nobody", ""),
    ("plant", "old.x", ""),
    ("plant", "old.x", "Nats-Trace-Only: 1\r\n"),
    ("plant", "telemetry.x", ""),
    ("plant", "telemetry.x", "Nats-Trace-Only: 1\r\n"),
    ("office", "math.add", ""),
    ("office", "math.add", "Nats-Trace-Only: 1\r\n"),
    ("guest", "a.b", ""),
    ("guest", "free.x", ""),
]


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with (
        gateway(tmp_path_factory.mktemp("edge"), config=CONFIG) as edge,
        nats_server(tmp_path_factory.mktemp("reference"), NATS_CONFIG) as reference,
    ):
        yield edge, reference


def client(peer: Peer, user: str, then: str = "") -> RawPeer:
    about = {"user": user, "pass": user, "verbose": False, "headers": True, "name": f"{user}-app"}
    opened = RawPeer(peer.address("nats"))
    opened.send(f"CONNECT {json.dumps(about)}\r\n{then}PING\r\n".encode())
    opened.read_through(b"PONG\r\n")
    return opened


def talk(peer: Peer, user: str, subject: str, headers: str) -> tuple[dict[str, object], bytes]:
    """What is told of a message, and what subscribers got of it."""
    hearers = [
        client(peer, "plant", "SUB a.> 1\r\nSUB a.b 2\r\nSUB jobs.* workers 3\r\nSUB new.* 4\r\nSUB calc.add 5\r\n"),
        client(peer, "office", "SUB plant.> 6\r\n"),
    ]
    listener = client(peer, "office" if user == "office" else "plant", "SUB traces t\r\n")
    header = f"NATS/1.0\r\nNats-Trace-Dest: traces\r\n{headers}\r\n".encode()
    publisher = client(peer, user)
    publisher.send(b"HPUB %b %d %d\r\n%bhi\r\nPING\r\n" % (subject.encode(), len(header), len(header) + 2, header))
    said = publisher.read_through(b"PONG\r\n")
    head = listener.read_line()
    told = json.loads(listener.read(int(head.split()[-1])))
    got = [b"\r\n".join(line for line in said.split(b"\r\n") if line.startswith(b"-ERR"))]
    for one in hearers:
        one.send(b"PING\r\n")
        got.append(one.read_through(b"PONG\r\n"))
    for one in (*hearers, listener, publisher):
        one.socket.close()
    return told, b"".join(got)


def steps(told: dict[str, object]) -> list[dict[str, object]]:
    """The steps without times and numbers of connections, in an order of ours behind the first."""
    events = told["events"]
    assert isinstance(events, list)
    assert all(one["ts"].endswith("Z") or "+" in one["ts"] for one in events)
    plain = [{name: value for name, value in one.items() if name not in ("ts", "cid")} for one in events]
    return plain[:1] + sorted(plain[1:], key=json.dumps)


def without_rtt(data: bytes) -> list[bytes]:
    """The lines, in an order of ours, without what is told of times and the sizes that depend on it."""
    return sorted(re.sub(rb',"rtt":\d+|(?<=^HMSG calc.add 5) .*', b"", line) for line in data.splitlines())


@pytest.mark.parametrize(("user", "subject", "headers"), MESSAGES)
def test_steps_are_nats_servers(peers: tuple[Peer, Peer], user: str, subject: str, headers: str):
    (ours, our_bytes), (theirs, their_bytes) = (talk(peer, user, subject, headers) for peer in peers)
    assert steps(ours) == steps(theirs)
    assert ours["request"] == theirs["request"]
    assert without_rtt(our_bytes) == without_rtt(their_bytes)
    assert {"name", "host", "id", "ver", "seq", "time"} <= ours["server"].keys()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("user", "headers", "refused"),
    [
        ("plant", "Nats-Trace-Dest: not a subject\r\n", False),
        ("plant", "Nats-Trace-Dest: a.*\r\n", False),
        ("plant", "Nats-Trace-Dest: trace disabled\r\n", False),
        ("plant", "Nats-Trace-Only: 1\r\n", False),
        ("guest", "Nats-Trace-Dest: secret\r\n", True),
    ],
)
def test_message_whose_trace_cannot_be_told(peers: tuple[Peer, Peer], user: str, headers: str, refused: bool):
    got = []
    for peer in peers:
        hearer = client(peer, "plant", "SUB free.x 1\r\n")
        publisher = client(peer, user)
        header = f"NATS/1.0\r\n{headers}\r\n".encode()
        publisher.send(b"HPUB free.x %d %d\r\n%bhi\r\nPING\r\n" % (len(header), len(header) + 2, header))
        said = publisher.read_through(b"PONG\r\n")
        assert (b"-ERR 'Permissions Violation for Publish to \"secret\"'" in said) is refused
        hearer.send(b"PING\r\n")
        got.append(hearer.read_through(b"PONG\r\n"))
        publisher.socket.close()
        hearer.socket.close()
    assert got[0] == got[1]
