"""A leafnode that breaks a rule hears from the gateway what it hears from nats-server, and stays or goes as there."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.leafnode_spokes import hub
from tests.integration.peers import Peer, nats_server
from tests.integration.raw_peer import RawPeer

NATS_SERVER = """
accounts {
  A { users: [
    {user: free, password: secret},
    {user: edge, password: secret, permissions: {
      publish: {allow: ["up.>"], deny: ["up.no"]}, subscribe: {allow: ["down.>"], deny: ["down.no"]}}},
    {user: responder, password: secret, permissions: {subscribe: ["ask"], allow_responses: true}},
    {user: client, password: secret, allowed_connection_types: ["STANDARD"]},
  ] }
  B { limits { max_subscriptions: 2 }, users: [ {user: few, password: secret} ] }
}
max_payload: 1000
"""
GATEWAY = """
[limits]
max-payload-bytes = 1000
[[accounts]]
name = "A"
[[accounts]]
name = "B"
max-subscriptions = 2
[[users]]
name = "free"
password = "secret"
account = "A"
[[users]]
name = "edge"
password = "secret"
account = "A"
[users.permissions]
publish = { allow = ["up.>"], deny = ["up.no"] }
subscribe = { allow = ["down.>"], deny = ["down.no"] }
[[users]]
name = "responder"
password = "secret"
account = "A"
permissions = { subscribe = { allow = ["ask"] }, allow-responses = true }
[[users]]
name = "client"
password = "secret"
account = "A"
connection-types = ["nats"]
[[users]]
name = "few"
password = "secret"
account = "B"
"""
# Interest of nats-server's own, its first PING, and what tells one server from another.
NOT_COMPARED = (b"LS+ $SYS.", b"LS+ $JS.", b"LS+ $LDS.", b"PING")
COMPARED_INFO = ("connect_info", "remote_account", "import", "export", "max_payload", "proto", "info_on_connect")
NKEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def connect(user: str = "free", password: str = "secret", **more: object) -> bytes:
    fields: dict[str, object] = {"version": "2.15.1", "name": "S", "cluster": "S", "headers": True, "protocol": 1}
    if user:
        fields |= {"user": user, "pass": password}
    return b"CONNECT %b\r\n" % json.dumps(fields | more).encode()


FREE, EDGE, PING = connect(), connect("edge"), b"PING\r\n"
SAID = {
    "wrong password": connect("free", "wrong"),
    "no credentials": connect(""),
    "a token": connect("", auth_token="x"),
    "an NKey": connect("", nkey=NKEY, sig="AA"),
    "a user for clients": connect("client"),
    "a client": connect(lang="go"),
    "a client with a wrong password": connect("free", "wrong", lang="go"),
    "an account of its choice": connect(account="A"),
    "a cluster with a space": connect(cluster="a b"),
    "a gateway": connect(gateway="G"),
    "PING before CONNECT": PING,
    "a message before CONNECT": b"LMSG a 0\r\n\r\n",
    "INFO before CONNECT": b"INFO {}\r\n",
    "no operation": b"CLOSE\r\n",
    "broken JSON": b"CONNECT {\r\n",
    "no fields": b"CONNECT {}\r\n",
    "a sound link": FREE + PING,
    "a link with rights": EDGE + PING,
    "a right to answer": connect("responder") + PING,
    "a message": EDGE + b"LMSG up.x 2\r\nhi\r\n" + PING,
    "a denied message": EDGE + b"LMSG up.no 2\r\nhi\r\n" + PING,
    "a message elsewhere": EDGE + b"LMSG other 2\r\nhi\r\n" + PING,
    "messages elsewhere": EDGE + b"LMSG other 2\r\nhi\r\n" * 3 + PING,
    "a message with a header": EDGE + b"HMSG other 12 14\r\nNATS/1.0\r\n\r\nhi\r\n" + PING,
    "an acknowledgement": EDGE + b"LMSG $JS.ACK.a.b.1.1.1.1.0 2\r\nhi\r\n" + PING,
    "an answer": EDGE + b"LMSG _R_.a 2\r\nhi\r\n" + PING,
    "an answer to nobody": connect("responder") + b"LMSG x 2\r\nhi\r\n" + PING,
    "interest": EDGE + b"LS+ down.x\r\n" + PING,
    "denied interest": EDGE + b"LS+ down.no\r\n" + PING,
    "interest elsewhere": EDGE + b"LS+ other\r\n" + PING,
    "interest with a quote": EDGE + b'LS+ ot"her\r\n' + PING,
    "a queue group elsewhere": EDGE + b"LS+ other q 1\r\n" + PING,
    "wide interest": EDGE + b"LS+ >\r\nLS+ other.*\r\n" + PING,
    "the watch for loops": EDGE + b"LS+ $LDS.abc\r\n" + PING,
    "answers of gateways": EDGE + b"LS+ _GR_.abc\r\nLS+ $GR.x\r\n" + PING,
    "an inbox": EDGE + b"LS+ _INBOX.abc\r\n" + PING,
    "acknowledgements": EDGE + b"LS+ $JS.ACK.a\r\n" + PING,
    "answers": EDGE + b"LS+ _R_.a\r\n" + PING,
    "JetStream": FREE + b"LS+ $JS.API.x\r\n" + PING,
    "all of JetStream": FREE + b"LS+ $JS.API.>\r\n" + PING,
    "a key": FREE + b"LS+ $KV.a.b\r\n" + PING,
    "what it denies itself": connect(deny_pub=["secret.>"]) + b"LS+ secret.a\r\n" + PING,
    "what it does not deny": connect(deny_pub=["secret.>"]) + b"LS+ open.a\r\n" + PING,
    "no filter": FREE + b"LS+ a..b\r\n" + PING,
    "two arguments": FREE + b"LS+ a b\r\n" + PING,
    "four arguments": FREE + b"LS+ a b 1 2\r\n" + PING,
    "no arguments": FREE + b"LS+ \r\n" + PING,
    "interest of nobody's": FREE + b"LS- a\r\n" + PING,
    "too many subscriptions": connect("few") + b"LS+ a\r\nLS+ b\r\nLS+ c\r\n" + PING,
    "too large a payload": FREE + b"LMSG a 1001\r\n",
    "too large a payload with a header": FREE + b"HMSG a 12 1001\r\n",
    "no size": FREE + b"LMSG a\r\n",
    "a size of letters": FREE + b"LMSG a x\r\n",
    "groups without a mark": FREE + b"LMSG a b c 2\r\nhi\r\n",
    "a header beyond the end": FREE + b"HMSG a 5 2\r\n",
    "a payload without its end": FREE + b"LMSG a 2\r\nhixx\r\n" + PING,
    "an unknown operation": FREE + b"FOO\r\n" + PING,
    "an error": FREE + b"-ERR 'x'\r\n" + PING,
    "a loop": FREE + b"-ERR 'Loop detected for leafnode account=\"A\"'\r\n" + PING,
    "+OK and INFO": FREE + b"+OK\r\nINFO {}\r\n" + PING,
    "a long line": FREE + b"LS+ " + b"a" * 60_000 + b"\r\n" + PING,
    "an endless line": FREE + b"LS+ " + b"a" * 70_000 + b"\r\n" + PING,
}


@pytest.fixture(scope="module")
def hubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    """nats-server and the gateway, set up alike."""
    directory = tmp_path_factory.mktemp("hubs")
    with (
        nats_server(directory / "theirs", NATS_SERVER, leafnodes="compression: off") as theirs,
        hub(directory / "ours", GATEWAY) as ours,
    ):
        yield theirs, ours


def compared(line: bytes) -> str:
    if line.startswith(b"INFO "):
        told = json.loads(line[5:])
        return "INFO " + json.dumps({key: told[key] for key in COMPARED_INFO if key in told})
    return line.decode("latin-1")


def answers(peer: Peer, said: bytes) -> tuple[list[str], str]:
    """What a leafnode is told behind the first INFO, up to the PONG, and how it ends."""
    with RawPeer(peer.address("leafnode")) as leaf:
        greeting = leaf.read_line()
        leaf.send(said)
        lines = [greeting]
        end = "goes on"
        try:
            while b"PONG" not in lines[-1]:
                lines.append(leaf.read_line())
            leaf.send(PING)
            while b"PONG" not in leaf.read_line():
                pass
        except (EOFError, ConnectionError):
            end = "is closed"
    return [compared(one.rstrip(b" \r\n")) for one in lines if not one.startswith(NOT_COMPARED)], end


@pytest.mark.parametrize("name", SAID)
def test_gateway_answers_as_nats_server_does(hubs: tuple[Peer, Peer], name: str) -> None:
    theirs, ours = hubs
    assert answers(ours, SAID[name]) == answers(theirs, SAID[name])


def test_both_ends_of_the_comparison_refuse_and_accept(hubs: tuple[Peer, Peer]) -> None:
    """What was compared is more than silence."""
    texts = {name: answers(hubs[1], said) for name, said in SAID.items()}
    assert sum("-ERR" in " ".join(lines) for lines, _ in texts.values()) > 25
    assert sum(end == "goes on" for _, end in texts.values()) > 15
