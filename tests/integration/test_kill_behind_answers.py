"""SIGKILL just behind an answer: what was answered is so after the next start, of whatever kind it was."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Pubcomp, Pubrec, Will
from protocols.mqtt.reason_codes import ReasonCode
from tests.integration.mqtt_conformance.raw_client import Clients, RawClient
from tests.integration.peers import running
from tests.integration.raw_peer import RawPeer
from tests.integration.test_storage_faults import Gateway
from tests.patience import PATIENCE_SECONDS

KEPT = (ReasonCode.SUCCESS, ReasonCode.NO_MATCHING_SUBSCRIBERS)
# What was answered, and what is to be so once the gateway has been killed and is there again.
Check = Callable[[Clients], None]
Act = Callable[[Clients, bytes], Check]


class House:
    """A gateway that is killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.gateway = Gateway(directory)
        with self.gateway.file.open("a") as file:
            file.write("[streams]\n")

    def start(self) -> None:
        self.gateway.peer.start()
        self.gateway.peer.wait_ports()

    def kill(self) -> None:
        """And start again."""
        self.gateway.peer.kill()
        self.start()

    @contextmanager
    def clients(self) -> Iterator[Clients]:
        with Clients(self.gateway.peer.address("mqtt"), patience=PATIENCE_SECONDS) as clients:
            yield clients


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    with running(house.gateway.peer):
        house.start()
        yield house


def retained(clients: Clients, topic: bytes) -> list[bytes]:
    reader = clients.connect(5)
    reader.subscribe(topic, 1)
    reader.barrier()
    found = []
    while reader.has_message():
        found.append(reader.take().payload)
    return found


def retain(qos: int) -> Act:
    def act(clients: Clients, tag: bytes) -> Check:
        assert clients.connect(5).publish(tag + b"/state", b"on", qos, retain=True) in KEPT

        def check(clients: Clients) -> None:
            assert retained(clients, tag + b"/state") == [b"on"]

        return check

    return act


def take_back(clients: Clients, tag: bytes) -> Check:
    writer = clients.connect(5)
    assert writer.publish(tag + b"/state", b"on", 1, retain=True) in KEPT
    assert writer.publish(tag + b"/state", b"", 1, retain=True) in KEPT

    def check(clients: Clients) -> None:
        assert retained(clients, tag + b"/state") == []

    return check


def resumed(clients: Clients, tag: bytes) -> RawClient:
    reader = clients.resume(5, tag + b"/reader")
    assert reader.connack.session_present
    return reader


def subscribe(clients: Clients, tag: bytes) -> Check:
    clients.resume(5, tag + b"/reader").subscribe(tag + b"/t", 1)

    def check(clients: Clients) -> None:
        reader = resumed(clients, tag)
        assert clients.connect(5).publish(tag + b"/t", b"one", 1) == 0
        assert reader.take().payload == b"one"

    return check


def unsubscribe(clients: Clients, tag: bytes) -> Check:
    reader = clients.resume(5, tag + b"/reader")
    reader.subscribe(tag + b"/t", 1)
    assert reader.unsubscribe(tag + b"/t") == [0]

    def check(clients: Clients) -> None:
        reader = resumed(clients, tag)
        assert clients.connect(5).publish(tag + b"/t", b"one", 1) == ReasonCode.NO_MATCHING_SUBSCRIBERS
        reader.assert_silence()

    return check


def publish(clients: Clients, tag: bytes) -> Check:
    subscribe(clients, tag)
    assert clients.connect(5).publish(tag + b"/t", b"one", 1) == 0

    def check(clients: Clients) -> None:
        assert resumed(clients, tag).take().payload == b"one"

    return check


def publish_exactly_once(clients: Clients, tag: bytes) -> Check:
    """Killed between PUBREC and PUBREL: the publisher says the message again, and it comes once."""
    subscribe(clients, tag)
    writer = clients.resume(5, tag + b"/writer")
    writer.send_publish(tag + b"/t", b"one", 2, packet_id=7)
    assert writer.answer(Pubrec).reason_code == 0

    def check(clients: Clients) -> None:
        writer = clients.resume(5, tag + b"/writer")
        assert writer.connack.session_present
        writer.send_publish(tag + b"/t", b"one", 2, packet_id=7, dup=True)
        assert writer.answer(Pubrec).reason_code == 0
        writer.send(encoder.encode_pubrel(5, 7))
        assert writer.answer(Pubcomp).packet_id == 7
        reader = resumed(clients, tag)
        assert reader.take().payload == b"one"
        reader.assert_silence()

    return check


def leave_a_will(clients: Clients, tag: bytes) -> Check:
    clients.with_will(Will(tag + b"/state", b"gone", 1, True), expiry=3600, client_id=tag + b"/sensor")

    def check(clients: Clients) -> None:
        reader = clients.connect(5)
        reader.subscribe(tag + b"/state", 1)
        assert reader.take().payload == b"gone"

    return check


ACTS = (
    retain(1),
    retain(2),
    take_back,
    subscribe,
    unsubscribe,
    publish,
    publish_exactly_once,
    leave_a_will,
)


def test_what_mqtt_clients_were_answered_is_so_after_a_kill(house: House) -> None:
    for number, act in enumerate(ACTS):
        with house.clients() as clients:
            check = act(clients, b"%d" % number)
            house.kill()
        with house.clients() as clients:
            check(clients)


class Asker(RawPeer):
    """A NATS client that asks."""

    def __init__(self, house: House) -> None:
        super().__init__(house.gateway.peer.address("nats"))
        self.socket.settimeout(PATIENCE_SECONDS)
        self.inbox = b"_INBOX.%d" % self.port
        self.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB %b 1\r\n' % self.inbox)

    def say(self, subject: str, payload: bytes = b"") -> None:
        self.send(b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), self.inbox, len(payload), payload))

    def hear(self) -> tuple[bytes, bytes]:
        """The reply subject of the next message, and what it says."""
        while not (head := self.read_through(b"\r\n")).startswith((b"MSG ", b"HMSG ")):
            pass
        words = head.split()
        size = int(words[-1])
        reply = words[3] if len(words) == (5 if head.startswith(b"M") else 6) else b""
        return reply, self.read(size + 2)[:-2]

    def ask(self, subject: str, payload: Any = b"") -> dict[str, Any]:
        self.say(subject, payload if isinstance(payload, bytes) else json.dumps(payload).encode())
        told: dict[str, Any] = json.loads(self.hear()[1] or b"{}")
        assert "error" not in told, told
        return told


def asked(house: House, *requests: tuple[str, Any]) -> dict[str, Any]:
    """The answer to the last of some requests, behind which the gateway is killed."""
    with Asker(house) as asker:
        for subject, payload in requests:
            told = asker.ask(subject, payload)
        house.kill()
    return told


def state(house: House) -> dict[str, Any]:
    with Asker(house) as asker:
        told: dict[str, Any] = asker.ask("$JS.API.STREAM.INFO.S")
    return told


def consumer(house: House) -> dict[str, Any]:
    with Asker(house) as asker:
        return asker.ask("$JS.API.CONSUMER.INFO.S.c")


def test_what_is_asked_of_streams_is_so_after_a_kill(house: House) -> None:
    asked(house, ("$JS.API.STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]}))
    assert asked(house, ("s.1", b"one"), ("s.2", b"two"), ("s.3", b"three"))["seq"] == 3
    assert state(house)["state"]["messages"] == 3
    config = {"durable_name": "c", "ack_policy": "explicit", "ack_wait": 1_000_000_000}
    asked(house, ("$JS.API.CONSUMER.CREATE.S.c", {"stream_name": "S", "config": config}))
    assert consumer(house)["name"] == "c"
    with Asker(house) as asker:
        asker.say("$JS.API.CONSUMER.MSG.NEXT.S.c", b"1")
        reply, payload = asker.hear()
        assert payload == b"one"
        asker.say(reply.decode(), b"+ACK")
        assert asker.hear() == (b"", b"")
        house.kill()
    assert consumer(house)["ack_floor"]["stream_seq"] == 1
    with Asker(house) as asker:
        asker.say("$JS.API.CONSUMER.MSG.NEXT.S.c", b"1")
        assert asker.hear()[1] == b"two"
    assert asked(house, ("$JS.API.STREAM.MSG.DELETE.S", {"seq": 3}))["success"]
    assert state(house)["state"]["last_seq"] == 3
    assert state(house)["state"]["messages"] == 2
    asked(house, ("$JS.API.STREAM.UPDATE.S", {"name": "S", "subjects": ["s.>"], "max_msgs": 7}))
    assert state(house)["config"]["max_msgs"] == 7
    assert asked(house, ("$JS.API.STREAM.PURGE.S", b""))["purged"] == 2
    assert state(house)["state"]["messages"] == 0
    asked(house, ("$JS.API.CONSUMER.DELETE.S.c", b""))
    assert state(house)["state"]["consumer_count"] == 0
    asked(house, ("$JS.API.STREAM.DELETE.S", b""))
    with Asker(house) as asker:
        assert asker.ask("$JS.API.STREAM.NAMES")["total"] == 0
