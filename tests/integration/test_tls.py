"""TLS on every door, with clients that others have written, and with those who should not get in."""

import asyncio
import json
import queue
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

import nats
import paho.mqtt.client as paho
import pytest
from nats.aio.client import Client

from gateway.command.certificates import make_authority, make_client, make_server, renew
from gateway.runtime.budget import HANDSHAKE_BYTES, TLS_BYTES
from tests.integration.certificates import Site, expired, listener, tampered
from tests.integration.mqtt_peers import unique_topic
from tests.integration.node_peers import node_client, require_node
from tests.integration.peers import Peer, gateway, require_peer, wait_until
from tests.integration.raw_peer import RawPeer, nats_line, without_pings
from tests.patience import PATIENCE_SECONDS

REFUSED = "-ERR 'Secure Connection - TLS Required'\r\n"
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site") / "tls")


@pytest.fixture(scope="module")
def edge(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """TLS everywhere, and nobody needs a certificate."""
    doors = "".join(listener(one, site.tls()) for one in ("nats", "mqtt", "websocket"))
    config = f"tls = {site.tls()}\n{doors}"
    with gateway(tmp_path_factory.mktemp("edge"), protocols=(), config=config, monitoring=True) as peer:
        yield peer


@pytest.fixture(scope="module")
def strict(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Everybody needs a certificate."""
    doors = "".join(listener(one, site.tls("require")) for one in ("nats", "mqtt", "websocket"))
    with gateway(tmp_path_factory.mktemp("strict"), protocols=(), config=doors, monitoring=True) as peer:
        yield peer


async def connect(peer: Peer, context: ssl.SSLContext, **options: object) -> Client:
    return await nats.connect(
        peer.url("nats", "tls"),
        tls=context,
        allow_reconnect=False,
        connect_timeout=PATIENCE_SECONDS,
        **options,  # type: ignore[arg-type]
    )


async def exchange(client: Client, size: int = 10) -> None:
    """A message of the client's to itself comes as it was."""
    subject = client.new_inbox()
    inbox = await client.subscribe(subject)
    payload = bytes(range(256)) * (size // 256) + b"." * (size % 256)
    await client.publish(subject, payload)
    assert (await inbox.next_msg(PATIENCE_SECONDS)).data == payload


def connz(peer: Peer, context: ssl.SSLContext | None = None) -> list[dict[str, object]]:
    scheme = "http" if context is None else "https"
    with urlopen(f"{scheme}://127.0.0.1:{peer.ports['monitoring']}/connz?state=all&auth=1", context=context) as answer:
        found: list[dict[str, object]] = json.load(answer)["connections"]
        return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_nats_upgrades_after_info(edge: Peer, site: Site, version: ssl.TLSVersion, size: int) -> None:
    async def test() -> None:
        client = await connect(edge, site.context(version=version))
        assert client._server_info["tls_required"] is True
        assert "tls_verify" not in client._server_info
        await exchange(client, size)
        await client.close()

    asyncio.run(test())


def test_many_messages_arrive_in_order(edge: Peer, site: Site) -> None:
    async def test() -> None:
        client = await connect(edge, site.context())
        inbox = await client.subscribe("order")
        for number in range(20_000):
            await client.publish("order", b"%d " % number + b"x" * (number % 700))
        for number in range(20_000):
            assert (await inbox.next_msg(PATIENCE_SECONDS)).data.split()[0] == b"%d" % number
        await client.close()

    asyncio.run(test())


def test_a_receiver_that_reads_late_gets_every_byte(edge: Peer, site: Site) -> None:
    """What its socket does not take waits inside TLS, and none of it is sent twice or left out."""
    address = edge.address("nats")
    with RawPeer(address, receive_buffer=4096) as slow:
        info = slow.read_line()
        assert b'"tls_required":true' in info
        secured = slow.start_tls(site.context())
        secured.sendall(b'CONNECT {"verbose":false}\r\nSUB flood 1\r\nPING\r\n')
        while b"PONG" not in secured.recv(4096):
            pass

        async def flood() -> None:
            client = await connect(edge, site.context())
            for number in range(200):
                await client.publish("flood", b"%06d" % number * 10_000)
                await client.flush()
            await client.close()

        asyncio.run(flood())
        stream = secured.makefile("rb")
        for number in range(200):
            assert nats_line(stream) == b"MSG flood 1 60000\r\n"
            assert stream.read(60_002) == b"%06d" % number * 10_000 + b"\r\n"


def test_nats_client_with_a_certificate(strict: Peer, site: Site) -> None:
    async def test() -> None:
        client = await connect(strict, site.context("sensor1"), name="with-certificate")
        assert client._server_info["tls_verify"] is True
        await exchange(client)
        await client.close()

    asyncio.run(test())
    (told,) = [one for one in connz(strict) if one.get("name") == "with-certificate"]
    assert told["tls_version"] == "1.3"
    assert str(told["tls_cipher_suite"]).startswith("TLS_")
    (certificate,) = told["tls_peer_certs"]  # type: ignore[misc]
    assert certificate["subject"] == "CN=sensor1"
    assert len(certificate["spki_sha256"]) == len(certificate["cert_sha256"]) == 64


def refused_for(peer: Peer, reason: str) -> None:
    """There is one line about it."""
    peer.wait_for_log(reason)
    lines = [line for line in peer.log().splitlines() if "event=tls-failed" in line and reason in line]
    assert len(lines) == 1, lines


def handshake(peer: Peer, protocol: str, context: ssl.SSLContext) -> bytes:
    """What comes first inside TLS; raises what a client would see that is refused."""
    with RawPeer(peer.address(protocol)) as raw:
        if protocol == "nats":
            raw.read_line()
        secured = raw.start_tls(context)
        secured.sendall(b"PING\r\n" if protocol == "nats" else b"\xc0\x00")
        return secured.recv(100)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("protocol", ["nats", "mqtt", "websocket"])
def test_without_a_certificate_nobody_comes_in(
    site: Site, tmp_path: Path, protocol: str, version: ssl.TLSVersion
) -> None:
    with gateway(tmp_path, protocols=(), config=listener(protocol, site.tls("require"))) as strict:
        assert not gets_in(strict, protocol, site.context(version=version))
        refused_for(strict, "the peer sent no certificate")


def test_certificate_of_another_authority(site: Site, tmp_path: Path) -> None:
    make_authority(tmp_path / "other", "other authority")
    make_client(tmp_path / "other", "sensor1")
    context = site.context()
    context.load_cert_chain(tmp_path / "other" / "sensor1.pem", tmp_path / "other" / "sensor1.key")
    with gateway(tmp_path, protocols=(), config=listener("nats", site.tls("require"))) as strict:
        assert not gets_in(strict, "nats", context)
        refused_for(strict, "the peer's certificate: self-signed certificate in certificate chain")


# Made by an authority that is trusted: OpenSSL takes them.
ODD_CERTIFICATES: dict[str, tuple[Callable[[bytes], bytes], bytes]] = {
    "letters": (lambda signed: signed.replace(b"\x0c\x07letters", b"\x13\x07\xff@_\0\n\x1b%"), b""),
    "version": (lambda signed: signed.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1), b""),
    "x400": (lambda signed: signed, b"\x30\x06\xa3\x04\x30\x02\x05\x00"),
    "host": (lambda signed: signed, b"\x30\x06\x82\x04\xff\xfe\xfd\xfc"),
    "address": (lambda signed: signed, b"\x30\x05\x87\x03\x01\x02\x03"),
}


def enters(peer: Peer, context: ssl.SSLContext) -> bool:
    """Whether a NATS client with this certificate is let in."""
    with RawPeer(peer.address("nats")) as raw:
        raw.read_line()
        try:
            secured = raw.start_tls(context)
            secured.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
            return secured.recv(100) == b"PONG\r\n"
        except (ssl.SSLError, ConnectionError):
            return False


@pytest.mark.parametrize("verify", ["require", "map"])
def test_certificates_that_are_odd(site: Site, tmp_path: Path, verify: str) -> None:
    users = '[[users]]\nname = "CN=sensor1"\n' if verify == "map" else ""
    with gateway(tmp_path, protocols=(), config=listener("nats", site.tls(verify)) + users) as edge:
        for name, (change, extension) in ODD_CERTIFICATES.items():
            if verify == "require":
                make_client(site.directory, name)
            tampered(site.directory, name, change, extension)
            enters(edge, site.context(name))
        assert enters(edge, site.context("sensor1"))
        assert edge.log().count("detail=\"the peer's certificate: it cannot be read") == 2
        assert "Internal Error" not in edge.log()
        assert "Traceback" not in edge.log()


@pytest.mark.parametrize("verify", ["ask", "require"])
def test_expired_certificate(site: Site, tmp_path: Path, verify: str) -> None:
    make_client(site.directory, f"old-{verify}")
    expired(site.directory, f"old-{verify}")
    with gateway(tmp_path, protocols=(), config=listener("nats", site.tls(verify))) as strict:
        assert not gets_in(strict, "nats", site.context(f"old-{verify}"))
        refused_for(strict, "the peer's certificate: certificate has expired")


def test_a_certificate_is_only_asked_for(site: Site, tmp_path: Path) -> None:
    with gateway(tmp_path, protocols=(), config=listener("nats", site.tls("ask"))) as edge:
        assert handshake(edge, "nats", site.context()) == b"PONG\r\n"
        assert handshake(edge, "nats", site.context("sensor1")) == b"PONG\r\n"


def test_pinned_certificates(site: Site, tmp_path: Path) -> None:
    make_client(site.directory, "pinned")
    command = (
        f"openssl x509 -in {site.path('pinned.pem')} -pubkey -noout | openssl pkey -pubin -outform der | sha256sum"
    )
    pin = subprocess.run(command, shell=True, capture_output=True, check=True, text=True).stdout.split()[0]
    config = listener("nats", site.tls("require", pinned_certificates=[pin.upper()]))
    with gateway(tmp_path, protocols=(), config=config) as edge:
        assert handshake(edge, "nats", site.context("pinned")) == b"PONG\r\n"
        assert not gets_in(edge, "nats", site.context("sensor1"))
        refused_for(edge, "none of pinned-certificates")


def test_handshake_first(site: Site, tmp_path: Path) -> None:
    async def test(edge: Peer) -> None:
        client = await connect(edge, site.context(), tls_handshake_first=True)
        await exchange(client)
        await client.close()

    with gateway(tmp_path, protocols=(), config=listener("nats", site.tls(handshake_first=True))) as edge:
        asyncio.run(test(edge))
        with RawPeer(edge.address("nats")) as plain:
            plain.send(b"CONNECT {}\r\n")
            assert plain.read_to_end().decode() == REFUSED
        refused_for(edge, "the peer does not speak TLS")


def test_tls_may_be_optional(site: Site, tmp_path: Path) -> None:
    with gateway(tmp_path, protocols=(), config=listener("nats", site.tls(optional=True))) as edge:
        with RawPeer(edge.address("nats")) as plain:
            info = plain.read_line()
            assert b'"tls_available":true' in info
            assert b"tls_required" not in info
            plain.send(b"PING\r\n")
            assert plain.read_line() == b"PONG\r\n"
        assert handshake(edge, "nats", site.context()) == b"PONG\r\n"


def test_plain_text_where_tls_is_required(site: Site, tmp_path: Path) -> None:
    with gateway(tmp_path, protocols=(), config=listener("nats", site.tls())) as edge:
        with RawPeer(edge.address("nats")) as plain:
            plain.read_line()
            plain.send(b'CONNECT {"verbose":false}\r\nPUB a 1\r\nx\r\n')
            assert plain.read_to_end().decode() == REFUSED
        refused_for(edge, "the peer does not speak TLS")


@pytest.mark.parametrize(("protocol", "answer"), [("mqtt", b""), ("websocket", b"HTTP/1.1 400 Bad Request\r\n")])
def test_plain_text_where_tls_comes_at_once(edge: Peer, protocol: str, answer: bytes) -> None:
    with RawPeer(edge.address(protocol)) as plain:
        plain.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        said = plain.read_to_end()
        assert said[: len(answer)] == answer if answer else not said


def test_silence_ends(site: Site, tmp_path: Path) -> None:
    config = listener("nats", site.tls(handshake_seconds=2.0))
    with gateway(tmp_path, protocols=(), config=config) as edge:
        with RawPeer(edge.address("nats")) as silent:
            assert silent.read_to_end().endswith(REFUSED.encode())
        with RawPeer(edge.address("nats")) as halting:
            halting.read_line()
            halting.send(b"\x16\x03\x01\x02\x00\x01")
            assert halting.read_to_end() == b""
        edge.wait_for_log("no handshake in time")


def test_garbage_after_a_good_beginning(site: Site, tmp_path: Path) -> None:
    with gateway(tmp_path, protocols=(), config=listener("mqtt", site.tls()), monitoring=True) as edge:
        with RawPeer(edge.address("mqtt")) as raw:
            raw.send(b"\x16\x03\x01\x00\x10" + b"\xff" * 100)
            raw.read_to_end()
        with RawPeer(edge.address("mqtt")) as raw:
            secured = raw.start_tls(site.context())
            with socket.socket(fileno=secured.detach()) as bare:
                bare.settimeout(PATIENCE_SECONDS)
                bare.sendall(b"\x17\x03\x03\x00\x30" + b"\0" * 48)
                while bare.recv(4096):
                    pass
        edge.wait_for_log("TLS: a record is damaged")
        assert handshake_is_possible(edge, site)


def gets_in(peer: Peer, protocol: str, context: ssl.SSLContext) -> bool:
    """Whether the peer is heard; in TLS 1.3 a client learns only then that it is not."""
    try:
        return handshake(peer, protocol, context) != b""
    except (ssl.SSLError, ConnectionError):
        return False


def handshake_is_possible(edge: Peer, site: Site) -> bool:
    with RawPeer(edge.address("mqtt")) as raw:
        return raw.start_tls(site.context()).version() is not None


def test_tls_on_a_plain_door(site: Site, tmp_path: Path) -> None:
    with gateway(tmp_path, protocols=("nats", "mqtt", "websocket")) as plain:
        for protocol in ("nats", "mqtt", "websocket"):
            with RawPeer(plain.address(protocol)) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
                raw.start_tls(site.context())
        wait_until(lambda: plain.log().count("event=closed") == 3, "three connections closed")


def test_too_many_handshakes_a_second(site: Site, tmp_path: Path) -> None:
    config = listener("nats", site.tls(max_handshakes_per_second=1))
    with gateway(tmp_path, protocols=(), config=config) as edge:
        with ThreadPoolExecutor(8) as pool:
            wait_until(
                lambda: not all(pool.map(lambda _: gets_in(edge, "nats", site.context()), range(8))), "a refusal"
            )
        edge.wait_for_log("too many handshakes a second")


def test_memory_of_tls_is_counted_and_bounds_handshakes(site: Site, tmp_path: Path) -> None:
    config = listener("nats", site.tls(handshake_first=True, handshake_seconds=60))
    limits = "[limits]\nmax-memory-bytes = 1048576\n"
    with gateway(tmp_path, config=config + limits, monitoring=True, protocols=()) as edge:
        assert kept_for_tls(edge) == 0
        with RawPeer(edge.address("nats")) as peer:
            assert peer.start_tls(site.context()).recv(5) == b"INFO "
            assert kept_for_tls(edge) == TLS_BYTES
        wait_until(lambda: kept_for_tls(edge) == 0, "the memory of who has gone")
        beginners = [RawPeer(edge.address("nats")) for _ in range(20)]
        try:
            for one in beginners:
                one.send(client_hello(site))
            edge.wait_for_log("no memory for a handshake (max-memory-bytes)")
            assert HANDSHAKE_BYTES <= kept_for_tls(edge) < 1048576
        finally:
            for one in beginners:
                one.close()
        wait_until(lambda: kept_for_tls(edge) == 0, "the memory of those who have gone")


def kept_for_tls(edge: Peer) -> int:
    with urlopen(f"http://127.0.0.1:{edge.ports['monitoring']}/varz") as answer:
        memory: dict[str, int] = json.load(answer)["memory"]
    return memory.get("tls", 0)


def client_hello(site: Site) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = site.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        engine.do_handshake()
    return outgoing.read()


def test_files_that_change_are_taken_up(tmp_path: Path) -> None:
    site = Site(tmp_path / "tls")

    def serial(edge: Peer) -> str:
        with RawPeer(edge.address("mqtt")) as raw:
            secured = raw.start_tls(site.context())
            certificate = secured.getpeercert()
            assert certificate is not None
            return str(certificate["serialNumber"])

    with gateway(tmp_path, protocols=(), config=listener("mqtt", site.tls())) as edge:
        first = serial(edge)
        assert serial(edge) == first
        assert renew(site.directory, timedelta(days=10_000))
        wait_until(lambda: serial(edge) != first, "the new certificate")
        second = serial(edge)
        Path(site.path("server.pem")).write_text("broken")
        wait_until(lambda: serial(edge) == second and "event=certificates-kept" in edge.log(), "the broken file told")
        assert edge.log().count("event=certificates-kept") == 1


def test_the_name_that_is_asked_for_chooses_the_certificate(site: Site, tmp_path: Path) -> None:
    make_server(site.directory, ["edge.example", "*.sheds.example"], "second")
    more = f'[{{ certificate = "{site.path("second.pem")}", key = "{site.path("second.key")}" }}]'
    config = listener("mqtt", site.tls()[:-2] + f", certificates = {more} }}")
    with gateway(tmp_path, protocols=(), config=config) as edge:
        for name, found in (
            ("localhost", "server"),
            ("edge.example", "second"),
            ("a.sheds.example", "second"),
        ):
            with RawPeer(edge.address("mqtt")) as raw:
                secured = raw.start_tls(site.context(), name)
                assert dict(one[0] for one in secured.getpeercert()["subject"])["commonName"] == found  # type: ignore


@pytest.mark.parametrize("asked", [b"\xff\xfe\xfd.example", b"a\nb\x1b[31m.example"])
def test_a_name_that_is_none(site: Site, tmp_path: Path, asked: bytes) -> None:
    """Python's own traceback would be in the log for everybody who asks for it."""
    more = f'[{{ certificate = "{site.path("server.pem")}", key = "{site.path("server.key")}" }}]'
    with gateway(
        tmp_path, protocols=(), config=listener("mqtt", site.tls()[:-2] + f", certificates = {more} }}")
    ) as edge:
        outgoing = ssl.MemoryBIO()
        engine = site.context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x" * len(asked))
        with pytest.raises(ssl.SSLWantReadError):
            engine.do_handshake()
        with RawPeer(edge.address("mqtt")) as raw:
            raw.send(outgoing.read().replace(b"x" * len(asked), asked))
            assert raw.read(1) in (b"\x15", b"\x16")
        assert handshake_is_possible(edge, site)
        assert "Traceback" not in edge.log()
        assert "\x1b" not in edge.log()


def test_application_protocols(edge: Peer, site: Site) -> None:
    for protocol, application in (("nats", "nats"), ("mqtt", "mqtt"), ("websocket", "http/1.1")):
        context = site.context()
        context.set_alpn_protocols(["h2", application])
        with RawPeer(edge.address(protocol)) as raw:
            if protocol == "nats":
                raw.read_line()
            secured = raw.start_tls(context)
            assert secured.selected_alpn_protocol() == application


def test_openssl_finds_no_older_version(edge: Peer, site: Site) -> None:
    program = require_peer("openssl")
    port = edge.ports["mqtt"]
    for option, works in (("-tls1_3", True), ("-tls1_2", True), ("-tls1_1", False)):
        command = [program, "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", site.path("ca.pem"), option]
        ended = subprocess.run([*command, "-verify_return_error"], input=b"", capture_output=True, check=False)
        assert (ended.returncode == 0) is works, option


@pytest.mark.parametrize(("option", "asked", "count"), [("-tls1_2", b"R\n", 1), ("-tls1_3", b"K\n", 500)])
def test_who_asks_for_new_keys_again_and_again_holds_nobody_up(
    edge: Peer, site: Site, option: str, asked: bytes, count: int
) -> None:
    """TLS 1.2 may be agreed on anew, which costs the server most; nobody may here. In 1.3 keys are updated."""
    program = require_peer("openssl")
    command = [program, "s_client", "-connect", f"127.0.0.1:{edge.ports['mqtt']}", "-CAfile", site.path("ca.pem")]
    before = edge.resident_bytes()
    with subprocess.Popen(
        [*command, option], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as client:
        assert client.stdin is not None
        assert client.stderr is not None
        for _ in range(count):
            client.stdin.write(asked)
            client.stdin.flush()
        if option == "-tls1_2":
            client.wait(PATIENCE_SECONDS)
            assert b"no renegotiation" in client.stderr.read()
        assert handshake_is_possible(edge, site)
        client.kill()
    assert edge.resident_bytes() - before < 8 << 20


def test_hundreds_of_half_handshakes_hold_nobody_up(site: Site, tmp_path: Path) -> None:
    """Each has begun and goes on by a byte now and then; who comes behind them is served, and their time ends."""
    doors = listener("mqtt", site.tls(handshake_seconds=6.0))
    with gateway(tmp_path, protocols=(), config=doors, monitoring=True) as edge, ExitStack() as half:
        hello = ssl.MemoryBIO()
        client = site.context().wrap_bio(ssl.MemoryBIO(), hello)
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        first = hello.read()
        peers = [half.enter_context(RawPeer(edge.address("mqtt"))) for _ in range(300)]
        for place, peer in enumerate(peers):
            peer.send(first[: 1 + place % (len(first) - 1)])
        assert handshake_is_possible(edge, site)
        for place, peer in enumerate(peers):
            with suppress(OSError):
                peer.send(first[1 + place % (len(first) - 1) :][:1])
        assert handshake_is_possible(edge, site)
        assert all(peer.read_to_end() is not None for peer in peers)
        assert handshake_is_possible(edge, site)


def test_mosquitto_programs(strict: Peer, site: Site) -> None:
    program = require_peer("mosquitto_pub")
    topic = unique_topic("tls")
    common = ["-p", str(strict.ports["mqtt"]), "--cafile", site.path("ca.pem"), "-t", topic]
    own = ["--cert", site.path("sensor1.pem"), "--key", site.path("sensor1.key")]
    published = [program, *common, "-q", "1", "-r", "-m", "hello"]
    assert subprocess.run([*published, *own], check=False).returncode == 0
    heard = subprocess.run(
        [require_peer("mosquitto_sub"), *common, *own, "-C", "1", "-W", f"{PATIENCE_SECONDS:g}"],
        capture_output=True,
        check=False,
    )
    assert heard.stdout == b"hello\n"
    assert subprocess.run(published, check=False, capture_output=True).returncode != 0


def test_paho(strict: Peer, site: Site) -> None:
    topic = unique_topic("paho")
    heard: queue.Queue[bytes] = queue.Queue()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.tls_set_context(site.context("sensor1"))
    client.on_message = lambda _client, _data, message: heard.put(message.payload)
    client.on_connect = lambda *_: client.subscribe(topic, 2)
    client.on_subscribe = lambda *_: client.publish(topic, b"x" * 300_000, 2)
    client.connect("127.0.0.1", strict.ports["mqtt"])
    client.loop_start()
    try:
        assert heard.get(timeout=PATIENCE_SECONDS) == b"x" * 300_000
    finally:
        client.disconnect()
        client.loop_stop()


def test_wss_from_node(edge: Peer, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    require_node("@nats-io/nats-core", "mqtt")
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", site.path("ca.pem"))
    url = edge.url("websocket", "wss").replace("127.0.0.1", "localhost")
    with node_client("nats_client.mjs", url) as browser, node_client("mqtt_client.mjs", url + "/mqtt") as panel:
        browser.call("subscribe", subject="wss.test")
        panel.call("publish", topic="wss/test", payload="through TLS", qos=1, retain=False)
        assert browser.next_message()["payload"] == "through TLS"


def test_monitoring_speaks_https(edge: Peer, site: Site) -> None:
    program = require_peer("curl")
    url = f"https://127.0.0.1:{edge.ports['monitoring']}/varz"
    fetched = subprocess.run([program, "-sS", "--cacert", site.path("ca.pem"), url], capture_output=True, check=True)
    told = json.loads(fetched.stdout)
    assert told["https_port"] == edge.ports["monitoring"]
    assert told["http_port"] == 0
    assert told["tls_required"] is True
    assert told["tls_cert_not_after"]
    assert told["mqtt"]["tls_required"] is True
    plain = subprocess.run([program, "-sS", url.replace("https", "http")], capture_output=True, check=False)
    assert plain.returncode != 0


def test_a_plain_client_beside_one_inside_tls(edge: Peer, site: Site) -> None:
    """MQTT and NATS meet inside TLS as they do outside."""
    topic = unique_topic("beside")

    async def test() -> None:
        client = await connect(edge, site.context())
        inbox = await client.subscribe(topic.replace("/", "."))
        await client.flush()
        command = [require_peer("mosquitto_pub"), "-p", str(edge.ports["mqtt"]), "--cafile", site.path("ca.pem")]
        await asyncio.to_thread(subprocess.run, [*command, "-t", topic, "-m", "hello"], check=True)
        assert (await inbox.next_msg(PATIENCE_SECONDS)).data == b"hello"
        await client.close()

    asyncio.run(test())


def test_stopping_says_so_inside_tls(site: Site, tmp_path: Path) -> None:
    with (
        gateway(tmp_path, protocols=(), config=listener("nats", site.tls())) as edge,
        RawPeer(edge.address("nats")) as raw,
    ):
        raw.read_line()
        secured = raw.start_tls(site.context(), suppress_ragged_eofs=False)
        secured.sendall(b"PING\r\n")
        assert secured.recv(100) == b"PONG\r\n"
        edge.stop()
        assert secured.recv(100) == b""  # A close_notify: a cut stream would raise.


def test_records_may_come_in_pieces(edge: Peer, site: Site) -> None:
    """A byte at a time, records across reads, several in one: what is inside comes out whole."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = site.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with RawPeer(edge.address("nats")) as raw:
        raw.read_line()

        def talk(size: int) -> None:
            data = outgoing.read()
            for start in range(0, len(data), size):
                raw.send(data[start : start + size])

        while True:
            try:
                engine.do_handshake()
                break
            except ssl.SSLWantReadError:
                talk(1)
                incoming.write(raw.socket.recv(1 << 16))
        engine.write(b'CONNECT {"verbose":false}\r\nSUB pieces 1\r\n')
        payload = bytes(range(256)) * 300
        for size, count in ((1, 1), (1000, 3), (100_000, 5)):
            for _ in range(count):
                engine.write(b"PUB pieces %d\r\n" % len(payload))
                engine.write(payload + b"\r\n")
            talk(size)
            wanted = b"MSG pieces 1 %d\r\n%b\r\n" % (len(payload), payload) * count
            heard = b""
            while len(without_pings(heard)) < len(wanted):
                if not incoming.pending:
                    incoming.write(raw.socket.recv(1 << 16))
                try:
                    heard += engine.read(1 << 14)
                except ssl.SSLWantReadError:
                    incoming.write(raw.socket.recv(1 << 16))
            assert without_pings(heard) == wanted


def test_a_certificate_says_who_the_user_is(site: Site, tmp_path: Path) -> None:
    make_client(site.directory, "nobody")
    users = '[[users]]\nname = "sensor1"\npermissions = { publish = { allow = ["mine"] } }\n'
    config = users + listener("nats", site.tls("map")) + listener("mqtt", site.tls("map"))
    with gateway(tmp_path, protocols=(), config=config) as edge:

        async def test() -> None:
            client = await connect(edge, site.context("sensor1"))
            await client.flush()
            await client.close()
            with pytest.raises(nats.errors.Error):
                await connect(edge, site.context("nobody"))

        asyncio.run(test())
        common = [require_peer("mosquitto_pub"), "-p", str(edge.ports["mqtt"]), "--cafile", site.path("ca.pem")]
        for name, status in (("sensor1", 0), ("nobody", 5)):
            own = ["--cert", site.path(f"{name}.pem"), "--key", site.path(f"{name}.key"), "-t", "mine", "-m", "x"]
            assert subprocess.run([*common, *own], check=False, capture_output=True).returncode == status, name
