"""One script of clients in three accounts, spoken to nats-server and to the gateway: the bytes they hear are equal."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gateway.settings.security import AccountRules, Export, Import, Latency
from tests.gateway.accounts.site import Site, site
from tests.gateway.memory_transport import Peer as MemoryPeer
from tests.integration.peers import Peer, nats_server
from tests.patience import PATIENCE_SECONDS

CONFIG = """
accounts: {
  plant: {
    users: [{user: plant, password: pw}]
    exports: [
      {stream: "telemetry.>"}
      {stream: "priv.*.>", accounts: [office]}
      {stream: "to.*.>", account_token_position: 2}
    ]
    imports: [{service: {account: calc, subject: "calc.add"}}]
    mappings: {"old.*.*": "telemetry.$2.$1", "bucket.*": "telemetry.{{partition(5,1)}}.$1"}
  }
  office: {
    users: [{user: office, password: pw}]
    imports: [
      {stream: {account: plant, subject: "telemetry.>"}, prefix: "plant"}
      {stream: {account: plant, subject: "priv.*.>"}, to: "p.$1.>"}
      {stream: {account: plant, subject: "to.office.>"}}
      {service: {account: calc, subject: "calc.add"}, to: "add", share: true}
      {service: {account: calc, subject: "many.*"}, to: "m.*"}
    ]
  }
  calc: {
    users: [{user: calc, password: pw}]
    exports: [
      {service: "calc.add", latency: {sampling: 100, subject: "lat.calc"}}
      {service: "many.*", response_type: stream}
    ]
  }
}
"""
RULES = (
    AccountRules(
        name="plant",
        exports=(
            Export(stream="telemetry.>"),
            Export(stream="priv.*.>", accounts=("office",)),
            Export(stream="to.*.>", account_token_position=2),
        ),
        imports=(Import(account="calc", service="calc.add"),),
        mappings={"old.*.*": "telemetry.$2.$1", "bucket.*": "telemetry.{{partition(5,1)}}.$1"},
    ),
    AccountRules(
        name="office",
        imports=(
            Import(account="plant", stream="telemetry.>", prefix="plant"),
            Import(account="plant", stream="priv.*.>", to="p.$1.>"),
            Import(account="plant", stream="to.office.>"),
            Import(account="calc", service="calc.add", to="add", share=True),
            Import(account="calc", service="many.*", to="m.*"),
        ),
    ),
    AccountRules(
        name="calc",
        exports=(
            Export(service="calc.add", latency=Latency(subject="lat.calc")),
            Export(service="many.*", response="stream"),
        ),
    ),
)
CONNECT = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "x", "version": "1"}
SAMPLE = b"MSG lat.calc "
END = b"MSG end 0 0\r\n\r\n"


class Client:
    """One client of either server. What it hears ends with what it said to itself behind everything else."""

    rest = b""

    def say(self, data: bytes) -> None:
        raise NotImplementedError

    def listen(self) -> bytes:
        raise NotImplementedError

    def hear(self) -> bytes:
        """What it was sent since the last time."""
        self.say(b"PUB end 0\r\n\r\n")
        heard = self.rest
        while END not in heard:
            heard += self.listen()
        heard, _, self.rest = heard.partition(END)
        return re.sub(rb"INFO .*\r\n|PING\r\n|PONG\r\n", b"", heard)


class SocketClient(Client):
    def __init__(self, server: Peer, account: str) -> None:
        self._socket = socket.create_connection(server.address("nats"))
        self._socket.settimeout(PATIENCE_SECONDS)
        fields = CONNECT | {"user": account, "pass": "pw", "name": account}
        self.say(b"CONNECT %b\r\nSUB end 0\r\nPING\r\n" % msgspec.json.encode(fields))
        self.hear()

    def say(self, data: bytes) -> None:
        self._socket.sendall(data)

    def listen(self) -> bytes:
        return self._socket.recv(65536)

    def close(self) -> None:
        self._socket.close()


class MemoryClient(Client):
    def __init__(self, house: Site, account: str) -> None:
        self._peer: MemoryPeer = house.nats(account, lang="x", version="1")
        self.say(b"SUB end 0\r\n")

    def say(self, data: bytes) -> None:
        self._peer.say(data)

    def listen(self) -> bytes:
        return self._peer.hear()


SECRETS = (
    # What differs from one run to the next: names of replies, numbers, times and durations.
    (re.compile(rb"_R_\.[A-Za-z0-9.]+"), b"_R_.x"),
    (re.compile(rb'"(start|timestamp|id|server)":"[^"]*"'), rb'"\1":"x"'),
    (re.compile(rb'"(id|service|system|total)":\d+'), rb'"\1":0'),
    (re.compile(rb',"rtt":\d+'), b""),
    # Its sizes follow from those.
    (re.compile(rb"(?m)^HMSG (\S+) (\S+)( _R_.x)? \d+ \d+\r$"), rb"HMSG \1 \2\3 n n\r"),
    (re.compile(rb"(?m)^MSG (lat\.\S+) (\S+)  ?\d+\r$"), rb"MSG \1 \2 n\r"),
)


class Script:
    """What happens, and what each client hears of it, made comparable."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, bytes]] = []

    def note(self, step: str, samples: int = 0, **clients: Client) -> dict[str, bytes]:
        """What the clients hear; so many samples of latency, which nats-server tells when it has time, are awaited."""
        # The first round has everything said arrive, the second has everything heard.
        raw = {name: client.hear() for name, client in clients.items()}
        raw = {name: heard + clients[name].hear() for name, heard in raw.items()}
        while raw.get("calc", b"").count(SAMPLE) < samples:
            raw["calc"] += clients["calc"].hear()
        for name, heard in raw.items():
            for pattern, stand_in in SECRETS:
                heard = pattern.sub(stand_in, heard)
            self.heard.append((step, name, b"".join(sorted(messages(heard)))))
        return raw

    def play(self, plant: Client, office: Client, calc: Client) -> list[tuple[str, str, bytes]]:
        everybody = {"plant": plant, "office": office, "calc": calc}
        office.say(b"SUB plant.telemetry.> 1\r\nSUB telemetry.> 2\r\nSUB plant.*.x 3\r\nSUB p.> 4\r\nSUB to.> 5\r\n")
        office.say(b"SUB inbox 9\r\n")
        plant.say(b"SUB inbox 9\r\nSUB telemetry.x 1\r\n")
        self.note("subscribed", **everybody)
        plant.say(b"PUB telemetry.x 2\r\nhi\r\nPUB telemetry.x reply.to 2\r\nhi\r\nPUB other.x 1\r\n.\r\n" * 2)
        self.note("stream under a prefix", **everybody)
        plant.say(b"HPUB telemetry.x reply.to 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n")
        self.note("headers", **everybody)
        plant.say(b"PUB priv.k.l.m 1\r\n1\r\nPUB to.office.y 1\r\n1\r\nPUB to.calc.y 1\r\n1\r\n")
        self.note("private, mapped, by token", **everybody)
        plant.say(b"PUB old.x.y 1\r\n1\r\nPUB bucket.x 1\r\n1\r\nPUB bucket.yy 1\r\n1\r\n")
        self.note("mappings of the exporter", **everybody)
        office.say(b"PUB telemetry.x 1\r\n1\r\nPUB plant.telemetry.x 1\r\n1\r\n")
        self.note("what the importer publishes", **everybody)
        office.say(b"PUB add inbox 2\r\n12\r\nPUB calc.add inbox 2\r\n12\r\n")
        plant.say(b"PUB calc.add inbox 2\r\n12\r\nPUB add inbox 2\r\n12\r\n")
        self.note("nobody serves", **everybody)
        calc.say(b"SUB calc.add 1\r\nSUB many.* 2\r\nSUB lat.> 3\r\n")
        self.note("served", **everybody)
        for name, subject in (("office", b"add"), ("plant", b"calc.add")):
            everybody[name].say(b"PUB %b inbox 2\r\n12\r\n" % subject)
            everybody[name].hear()
            (reply,) = replies(self.note(f"request of {name}", calc=calc)["calc"])
            calc.say(b"PUB %b 1\r\n3\r\n" % reply)
            self.note(f"answer to {name}", 1, **everybody)
            calc.say(b"PUB %b 1\r\n4\r\n" % reply)
            self.note(f"second answer to {name}", **everybody)
        office.say(b"HPUB m.k inbox 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n")
        office.hear()
        (reply,) = replies(self.note("request with a header", calc=calc)["calc"])
        for payload in (b"1", b"2", b"", b"3"):
            calc.say(b"PUB %b %d\r\n%b\r\n" % (reply, len(payload), payload))
        self.note("stream of answers", **everybody)
        office.say(b"PUB m.k inbox 1\r\n1\r\n")
        office.hear()
        (reply,) = replies(self.note("request to be asked back", calc=calc)["calc"])
        calc.say(b"SUB more 4\r\nPUB %b more 1\r\n1\r\n" % reply)
        calc.hear()
        (reply,) = replies(self.note("question back", office=office)["office"])
        office.say(b"PUB %b 1\r\n2\r\n" % reply)
        office.hear()
        self.note("answer to it", **everybody)
        plant.say(b"PUB calc.add 1\r\n1\r\n")
        plant.hear()
        self.note("request without a reply subject", 1, **everybody)
        calc.say(b"PUB calc.add inbox 1\r\n1\r\n")
        self.note("request in the account itself", **everybody)
        return self.heard


def messages(heard: bytes) -> list[bytes]:
    """The messages one by one: in which order subscriptions of one client get them is nobody's promise."""
    return re.split(rb"(?m)^(?=H?MSG )", heard)


def replies(heard: bytes) -> list[bytes]:
    return list(dict.fromkeys(re.findall(rb"_R_\.[A-Za-z0-9.]+", heard)))


@contextmanager
def sockets(server: Peer) -> Iterator[list[SocketClient]]:
    clients = [SocketClient(server, account) for account in ("plant", "office", "calc")]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


async def test_accounts_share_as_those_of_nats_server_do(tmp_path: Path):
    with nats_server(tmp_path, CONFIG) as server, sockets(server) as clients:
        expected = Script().play(*clients)
    async with site(*RULES) as house:
        ours = Script().play(*(MemoryClient(house, account) for account in ("plant", "office", "calc")))
    assert [one[:2] for one in ours] == [one[:2] for one in expected]
    for mine, theirs in zip(ours, expected, strict=True):
        assert mine == theirs
