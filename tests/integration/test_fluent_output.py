"""Messages as events for a server written by others: what they become, and that each arrives whoever is killed."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import msgspec
import nats
import pytest

from tests.integration.certificates import Site
from tests.integration.fluent_peers import fluent_server
from tests.integration.node_peers import NodeClient
from tests.integration.peers import Peer, free_port, gateway, wait_until
from tests.integration.test_remote_write import published, restart, statuses
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_form

KEY = "a key that both ends have"


def sink(
    *ports: int, scheme: str = "tcp", subjects: str = 'subjects = ["sensors.>"]', more: tuple[str, ...] = ()
) -> str:
    urls = [f"{scheme}://localhost:{port}" for port in ports]
    first = ["[[fluent]]", 'name = "logs"', f"urls = {json.dumps(urls)}", subjects]
    return "\n".join((*first, "batch-max-seconds = 0.05", "retry-max-seconds = 0.3", *more, ""))


def events(server: NodeClient, count: int) -> list[tuple[str, dict]]:
    found = [server.next_message() for _ in range(count)]
    return [(one["tag"], one["record"]) for one in found]


def test_messages_become_events(tmp_path):
    port = free_port()
    more = ('tag = "edge.{{token(2)}}"', 'subject-field = "subject"', "gzip = true")
    with fluent_server(port) as server, gateway(tmp_path, config=sink(port, more=more), monitoring=True) as peer:
        peer.wait_for_log("integration=fluent/logs event=up")
        asyncio.run(
            published(
                peer,
                ("sensors.kitchen.temp", b"21.5"),
                ("sensors.cellar.all", b'{"temp": 12, "list": [1, {"a": null}]}'),
                ("other.x", b"1"),
                ("sensors.cellar.text", "grüß".encode()),
            )
        )
        found = events(server, 3)
        assert sorted(found, key=str) == sorted(
            [
                ("edge.kitchen", {"message": "21.5", "subject": "sensors.kitchen.temp"}),
                ("edge.cellar", {"temp": 12, "list": [1, {"a": None}], "subject": "sensors.cellar.all"}),
                ("edge.cellar", {"message": "grüß", "subject": "sensors.cellar.text"}),
            ],
            key=str,
        )
        wait_until(lambda: statuses(peer)[0]["sent_msgs"] == 3, "three acknowledgements")


def test_shared_key_password_and_tls(tmp_path):
    site = Site(tmp_path / "tls")
    port = free_port()
    security = {"serverHostname": "collector", "sharedKey": KEY, "authorize": True, "userDict": {"edge": "unsaid"}}
    more = (
        f"shared-key = {json.dumps(KEY)}",
        'user = "edge"',
        'password = "unsaid"',
        f'tls = {{ ca = "{site.path("ca.pem")}" }}',
    )
    tls = {"cert": site.path("server.pem"), "key": site.path("server.key")}
    with (
        fluent_server(port, security=security, tls=tls) as server,
        gateway(tmp_path / "edge", config=sink(port, scheme="tls", more=more)) as peer,
    ):
        peer.wait_for_log("event=up")
        asyncio.run(published(peer, ("sensors.a", b"1")))
        assert events(server, 1) == [("sensors.a", {"message": "1"})]
        assert KEY not in peer.log()
        assert "unsaid" not in peer.log()


def test_what_is_wrong_is_said_in_a_sentence(tmp_path):
    port, other = free_port(), free_port()
    security = {"serverHostname": "collector", "sharedKey": KEY, "authorize": True, "userDict": {"edge": "right"}}
    attempts = [
        ((f"shared-key = {json.dumps('another')}", 'user = "edge"', 'password = "right"'), "says: shared key mismatch"),
        ((f"shared-key = {json.dumps(KEY)}", 'user = "edge"', 'password = "x"'), "says: username/password mismatch"),
        ((f"shared-key = {json.dumps(KEY)}",), "asks for a user: set user and password"),
        ((), "asks for a shared key: set shared-key"),
    ]
    with fluent_server(port, security=security):
        config = sink(other, more=("answer-timeout-seconds = 2",))
        with gateway(tmp_path, config=config, monitoring=True) as peer:
            peer.wait_for_log("Connection refused")
            file = peer.directory / "leafgate.toml"
            before = file.read_text().replace(str(other), str(port))
            for more, sentence in attempts:
                file.write_text(before + "\n".join(more) + "\n")
                peer.wait_for_log(sentence)
                wait_until(lambda sentence=sentence: sentence in statuses(peer)[0]["last_error"], "the sentence")


def test_connections_that_end_at_once_are_no_server_that_is_there(tmp_path):
    """As a proxy takes them whose server is away: one line tells of the outage, however often it is tried."""
    ended = 0

    def take() -> None:
        nonlocal ended
        with contextlib.suppress(OSError):
            while True:
                listening.accept()[0].close()
                ended += 1

    with socket.create_server(("localhost", 0)) as listening:
        threading.Thread(target=take, daemon=True).start()
        with gateway(tmp_path, config=sink(listening.getsockname()[1])) as peer:
            wait_until(lambda: ended > 3, "some connections")
            assert "event=up" not in peer.log()
            assert peer.log().count("event=down") == 1


async def stored(peer: Peer, first: int, last: int) -> None:
    client = await nats.connect(peer.url(), allow_reconnect=False)
    stream = client.jetstream()
    await stream.add_stream(name="EVENTS", subjects=["sensors.>"])
    for number in range(first, last):
        await stream.publish(f"sensors.s{number % 5}", b"%d" % number)
    await client.close()


def test_every_event_arrives_when_one_of_both_is_killed(tmp_path):
    port = free_port()
    config = "[streams]\n" + sink(port, subjects='stream = "EVENTS"')
    seen: list[int] = []

    def take(server: NodeClient, last: int) -> None:
        while not set(seen) >= set(range(last + 1)):
            seen.extend(int(record["message"]) for _, record in events(server, 1))

    with gateway(tmp_path / "edge", config=config, data_directory=tmp_path / "data") as peer:
        with fluent_server(port) as server:
            asyncio.run(stored(peer, 0, 200))
            take(server, 199)
        peer.wait_for_log("event=down")
        asyncio.run(stored(peer, 200, 400))
        with fluent_server(port) as server:
            take(server, 399)
            peer.kill()
            restart(peer)
            asyncio.run(stored(peer, 400, 600))
            take(server, 599)
    assert sorted(set(seen)) == list(range(600))
    for subject in range(5):  # In order, but for what came twice.
        of_one = [number for number in seen if number % 5 == subject]
        assert list(dict.fromkeys(of_one)) == sorted(set(of_one))


def test_another_server_takes_over_and_gives_back(tmp_path):
    first, second = free_port(), free_port()
    config = sink(first, second, more=("fail-back-seconds = 0.3",))
    with gateway(tmp_path, config=config, monitoring=True) as peer, fluent_server(second) as other:
        peer.wait_for_log("event=up")
        asyncio.run(published(peer, ("sensors.a", b"1")))
        assert events(other, 1) == [("sensors.a", {"message": "1"})]
        with fluent_server(first) as server:
            number, found = 2, False
            while not found and number < 240:
                asyncio.run(published(peer, ("sensors.a", b"%d" % number)))
                with contextlib.suppress(Exception):
                    found = server._messages.get(timeout=0.5)["tag"] == "sensors.a"
                number += 1
            assert found
        wait_until(lambda: statuses(peer)[0]["waiting_msgs"] == 0, "nothing lost")


def test_server_that_takes_all_and_acknowledges_nothing_is_left(tmp_path):
    """As behind a path of which one direction is gone."""
    with silent_server() as port:
        config = sink(port, more=("answer-timeout-seconds = 1",))
        with gateway(tmp_path, config=config, monitoring=True) as peer:
            peer.wait_for_log("event=up")
            asyncio.run(published(peer, ("sensors.a", b"1")))
            peer.wait_for_log("does not acknowledge within 1 s")
            assert statuses(peer)[0]["waiting_msgs"] == 1


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """Reads what comes, and says nothing."""
    listening = socket.create_server(("127.0.0.1", 0))
    peers: list[socket.socket] = []

    def take() -> None:
        with contextlib.suppress(OSError):
            while True:
                peers.append(listening.accept()[0])

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
        for one in peers:
            one.close()


def test_own_log_is_sent_too(tmp_path):
    port = free_port()
    config = sink(port, subjects='subjects = ["log.>"]', more=('log-subject = "log.gateway"',))
    with fluent_server(port) as server, gateway(tmp_path, config=config) as peer:
        asyncio.run(published(peer, ("x", b"")))
        found: list[dict] = []
        wait_until(lambda: found.append(events(server, 1)[0][1]) or found[-1].get("event") == "closed", "the line")
    assert found[-1]["reason"] == "Client Closed"
    assert found[-1]["logger"] == "leafgate.connection"
    assert found[-1]["level"] == "info"


def test_two_gateways_speak_to_each_other(tmp_path):
    """What one sends the other publishes, acknowledged behind its disk."""
    key = f"shared-key = {json.dumps(KEY)}"
    entrance = f'fluent = {{ {key}, subject = "far.{{{{tag}}}}", payload-field = "message" }}'
    with contextlib.ExitStack() as stack:
        protocols = ("nats", "fluent")
        hub = stack.enter_context(gateway(tmp_path / "hub", protocols=protocols, listener=entrance, name="hub"))
        peer = stack.enter_context(gateway(tmp_path / "edge", config=sink(hub.ports["fluent"], more=(key,))))
        peer.wait_for_log("event=up")

        async def run() -> tuple[str, bytes]:
            client = await nats.connect(hub.url())
            subscription = await client.subscribe("far.>")
            await client.flush()
            await published(peer, ("sensors.a", b"21.5"))
            message = await subscription.next_msg(timeout=PATIENCE_SECONDS)
            await client.close()
            return message.subject, message.data

        assert asyncio.run(run()) == ("far.sensors.a", b"21.5")
        hub.kill()
        peer.wait_for_log("event=down")


def test_wrong_answers_are_no_harm(tmp_path):
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        peer = stack.enter_context(gateway(tmp_path, config=sink(listening.getsockname()[1])))
        for answer in (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\xdd\xff\xff\xff\xff",
            msgspec.msgpack.encode({"ack": "x"}),
        ):
            taken, _ = listening.accept()
            with taken:
                taken.sendall(answer)
        peer.wait_for_log("does not speak the forward protocol")
        assert "Traceback" not in peer.log()
