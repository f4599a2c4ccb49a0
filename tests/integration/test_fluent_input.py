"""Events that come by the forward protocol, from clients written by others, and from those who mean no good."""

import asyncio
import gzip
import hashlib
import json
import resource
from functools import partial
from pathlib import Path

import fluent.sender
import msgspec
import nats
import pytest

from tests.integration.certificates import Site
from tests.integration.certificates import listener as secured
from tests.integration.fluent_peers import emit, fluent_client
from tests.integration.peers import Peer, gateway, read_ports_file
from tests.integration.raw_peer import RawPeer
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

pack = msgspec.msgpack.encode
HELO_BYTES = len(pack(["HELO", {"nonce": b"x" * 16, "auth": b"x" * 16, "keepalive": True}]))
KEY = "a key that both ends have"
MODES = ("Message", "Forward", "PackedForward", "CompressedPackedForward")
USERS = """
[[users]]
name = "collector"
password = "unsaid"
permissions = { publish = { allow = ["logs.>"] } }
[[users]]
name = "hashed"
password = "$2b$04$abcdefghijklmnopqrstuuGIrBqwOGWyZLSjRyZjMEGoIBPcsEsmu"
[[users]]
name = "reader"
password = "reader"
"""


def listener(**keys: object) -> str:
    """The keys of a fluent listener."""
    return (
        "fluent = { "
        + ", ".join(f"{key.replace('_', '-')} = {json.dumps(value)}" for key, value in keys.items())
        + " }"
    )


async def collected(peer: Peer, subject: str, act, count: int, login: str = "") -> list[tuple[str, bytes]]:
    """What somebody who listens gets of what `act` does."""
    client = await nats.connect(f"nats://{login}127.0.0.1:{peer.ports['nats']}", allow_reconnect=False)
    subscription = await client.subscribe(subject)
    await client.flush()
    act()
    found = [await subscription.next_msg(timeout=PATIENCE_SECONDS) for _ in range(count)]
    await client.close()
    return [(message.subject, message.data) for message in found]


def test_python_logger_brings_events(tmp_path):
    config = listener(subject="logs.{{tag}}", time_field="time")
    with gateway(tmp_path, protocols=("nats", "fluent"), listener=config) as peer:
        sender = fluent.sender.FluentSender(
            "app", host="127.0.0.1", port=peer.ports["fluent"], nanosecond_precision=True
        )

        def act() -> None:
            assert sender.emit_with_time("web errors", 1_700_000_000.25, {"code": 500, "text": "grüß"})
            sender.close()

        ((subject, payload),) = asyncio.run(collected(peer, "logs.>", act, 1))
    assert subject == "logs.app.web_errors"
    assert json.loads(payload) == {"code": 500, "text": "grüß", "time": 1_700_000_000.25}


def test_node_logger_brings_events_in_every_mode_and_is_answered(tmp_path):
    records = [{"n": number, "text": "x" * number} for number in range(50)]
    with gateway(tmp_path, protocols=("nats", "fluent"), listener=listener(subject="logs.{{tag}}")) as peer:
        for mode in MODES:
            with fluent_client(peer.ports["fluent"], eventMode=mode) as client:
                act = partial(emit, client, "app.x", records)
                found = asyncio.run(collected(peer, "logs.>", act, len(records)))
            assert [subject for subject, _ in found] == ["logs.app.x"] * len(records)
            assert [json.loads(payload) for _, payload in found] == records


def test_shared_key_and_password_let_in_and_permissions_hold(tmp_path):
    security = {"clientHostname": "box", "sharedKey": KEY, "username": "collector", "password": "unsaid"}
    config = listener(subject="{{tag}}", shared_key=KEY)
    with (
        gateway(tmp_path, protocols=("nats", "fluent"), listener=config, config=USERS) as peer,
        fluent_client(peer.ports["fluent"], security=security) as client,
    ):

        def act() -> None:
            emit(client, "secret.a", [{"n": 1}])
            emit(client, "logs.a", [{"n": 2}])

        assert asyncio.run(collected(peer, ">", act, 1, "reader:reader@")) == [("logs.a", b'{"n":2}')]
        peer.wait_for_log("event=events-dropped tag='secret.a' count=1 total=1 reason='the user may not publish there'")


def test_who_is_not_let_in_hears_why(tmp_path):
    """What fluentd itself says."""
    attempts = [
        ("another", "collector", "unsaid", "shared key mismatch", "user='collector' reason='another shared key'"),
        (KEY, "collector", "wrong", "username/password mismatch", "user='collector' reason='a wrong password'"),
        (KEY, "nobody", "unsaid", "username/password mismatch", "user='nobody' reason='no such user'"),
        (KEY, "", "", "username/password mismatch", "reason='no credentials'"),
        (KEY, "hashed", "unsaid", "username/password mismatch", "password is not there as plain text"),
    ]
    with gateway(tmp_path, protocols=("nats", "fluent"), listener=listener(shared_key=KEY), config=USERS) as peer:
        for key, user, password, told, line in attempts:
            with RawPeer(peer.address("fluent")) as raw:
                raw.send(ping(raw.read(HELO_BYTES), key, user, password))
                assert msgspec.msgpack.decode(raw.read_to_end()) == ["PONG", False, told, "", ""]
            peer.wait_for_log(line)
        assert KEY not in peer.log()
        assert "unsaid" not in peer.log()


def ping(helo: bytes, key: str, user: str, password: str) -> bytes:
    """What a client answers who has this key and is this user."""

    def digest(*parts: bytes) -> str:
        return hashlib.sha512(b"".join(parts)).hexdigest()

    options = msgspec.msgpack.decode(helo)[1]
    shown = digest(options["auth"], user.encode(), password.encode()) if user else ""
    return pack(["PING", "box", "salt", digest(b"salt", b"box", options["nonce"], key.encode()), user, shown])


def test_events_come_through_tls(tmp_path):
    site = Site(tmp_path / "tls")
    config = secured("fluent", site.tls())
    with gateway(tmp_path, protocols=("nats",), config=config) as peer:
        tls = {"ca": Path(site.path("ca.pem")).read_text(), "servername": "localhost"}
        options = {"host": "localhost", "tls": tls}
        with fluent_client(peer.ports["fluent"], socket=options) as client:
            assert asyncio.run(collected(peer, "a", lambda: emit(client, "a", [{"n": 1}]), 1)) == [("a", b'{"n":1}')]


def hostile() -> dict[str, tuple[bytes, str]]:
    bomb = gzip.compress(b"\x92\x01\x80" * 1_000_000, 9)
    return {
        "huge array": (b"\x92\xa1t\xdd\xff\xff\xff\xff", "a value of more than 1048576 bytes"),
        "huge text": (b"\x92\xa1t\xdb\x7f\xff\xff\xff", "a value of more than 1048576 bytes"),
        "zip bomb": (pack(["t", bomb, {"compressed": "gzip"}]), "more than 1048576 bytes once it is decompressed"),
        "depth": (b"\x93\xa1t\x01" + b"\x91" * 100_000 + b"\xc0", ""),
        "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "a value that is no chunk"),
        "a byte that is none": (b"\xc1", "a byte that MessagePack does not have"),
        "no events": (pack(["t", b"\xff" * 1000]), ""),
        "a sea of nothing": (b"\xc0" * 500_000, ""),
        "empty chunks": (pack(["t", [], {"chunk": "x"}]) * 5000, ""),
    }


def test_hostile_input_ends_one_connection_at_most(tmp_path):
    with gateway(tmp_path, protocols=("nats", "fluent"), listener=listener(max_chunk_bytes=1 << 20)) as peer:
        for data, words in hostile().values():
            with RawPeer(peer.address("fluent")) as raw:
                raw.send(data)
                if words:
                    raw.read_to_end()
                    peer.wait_for_log(words)
                else:
                    raw.send(pack(["t", [[1, {"n": 1}]], {"chunk": "last"}]))
                    assert raw.read_through(pack({"ack": "last"})).endswith(pack({"ack": "last"}))
        with fluent_client(peer.ports["fluent"]) as client:
            emit(client, "t", [{"n": 1}])
        assert "Traceback" not in peer.log()


def test_acknowledged_events_are_in_the_stream_after_a_kill(tmp_path):
    config = '[streams]\n[logging]\nlevel = "info"'
    directory = tmp_path / "data"

    async def count(peer: Peer) -> int:
        client = await nats.connect(peer.url())
        found = (await client.jetstream().stream_info("LOGS")).state.messages
        await client.close()
        return found

    async def make(peer: Peer) -> None:
        client = await nats.connect(peer.url())
        await client.jetstream().add_stream(name="LOGS", subjects=["logs.>"])
        await client.close()

    with gateway(
        tmp_path,
        protocols=("nats", "fluent"),
        listener=listener(subject="logs.{{tag}}"),
        config=config,
        data_directory=directory,
    ) as peer:
        asyncio.run(make(peer))
        acknowledged = 0
        with RawPeer(peer.address("fluent")) as raw:
            for number in range(200):
                events = pack([number, {"n": number}]) * 10
                raw.send(pack(["app", events, {"chunk": f"{number:04}"}]))
                if number % 3 == 0:
                    raw.read_through(pack(f"{number:04}")[1:])
                    acknowledged = (number + 1) * 10
            peer.kill()
        ports = peer.directory / "ports.json"
        ports.unlink()
        peer.start()
        peer.wait_ready(ports.exists)
        peer.ports = read_ports_file(ports) or {}
        assert acknowledged <= asyncio.run(count(peer)) <= 2000


def test_what_cannot_be_stored_is_not_acknowledged_before_it_is(tmp_path):
    """As on a disk that is full for a while."""

    async def make(peer: Peer) -> None:
        client = await nats.connect(peer.url())
        await client.jetstream().add_stream(name="LOGS", subjects=["logs.>"])
        await client.close()

    keys, data = listener(subject="logs.{{tag}}"), tmp_path / "data"
    with gateway(
        tmp_path, protocols=("nats", "fluent"), listener=keys, config="[streams]", data_directory=data
    ) as peer:
        asyncio.run(make(peer))
        unlimited = resource.RLIM_INFINITY
        resource.prlimit(peer.pid, resource.RLIMIT_FSIZE, (1 << 14, unlimited))
        with RawPeer(peer.address("fluent")) as raw:
            # Little enough to come in one piece: what comes behind a fault is refused, and the connection closed.
            raw.send(pack(["app", pack([1, {"text": "x" * 10_000}]) * 3, {"chunk": "id"}]))
            peer.wait_for_log("event=storage-fault")
            raw.socket.settimeout(0.5)
            with pytest.raises(TimeoutError):
                raw.read(1)
            raw.socket.settimeout(PATIENCE_SECONDS)
            resource.prlimit(peer.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
            answer = pack({"ack": "id"})
            assert raw.read(len(answer)) == answer
