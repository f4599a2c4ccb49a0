"""What the gateway acknowledges to NATS clients is kept: across its sudden end, and while its disk refuses.

The publisher speaks bytes, so that it can say the same message again; the receiver is paho with a QoS 1 session.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.mqtt5_peers import NEVER_EXPIRES, paho5_client
from tests.integration.peers import running
from tests.integration.raw_peer import RawPeer
from tests.integration.test_storage_faults import LARGE, Gateway


class Publisher(RawPeer):
    """A NATS client that publishes by request."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway.peer.address("nats"))
        self.inbox = b"_INBOX.%d" % self.port
        connect = b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n'
        self.send(connect + b"SUB %b 1\r\nPING\r\n" % self.inbox)
        self.read_through(b"PONG\r\n")

    def say(self, subject: str, payload: bytes, identifier: str = "") -> None:
        header = b"NATS/1.0\r\nNats-Msg-Id: %b\r\n\r\n" % identifier.encode() if identifier else b""
        sizes = b"%d %d" % (len(header), len(header) + len(payload))
        head = b"HPUB $LEAFGATE.publish.%b %b %b\r\n" % (subject.encode(), self.inbox, sizes)
        self.send(head + header + payload + b"\r\n")

    def answer(self) -> dict[str, Any]:
        head = self.read_line()
        assert head.startswith(b"MSG %b 1 " % self.inbox), head
        told: dict[str, Any] = json.loads(self.read(int(head.split()[-1])))
        self.read(2)
        return told

    def ask(self, subject: str, payload: bytes, identifier: str = "") -> dict[str, Any]:
        self.say(subject, payload, identifier)
        return self.answer()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    gateway.peer.start()
    with running(gateway.peer):
        gateway.peer.wait_ports()
        yield gateway


def restart(gateway: Gateway) -> None:
    gateway.peer.kill()
    gateway.peer.start()
    gateway.peer.wait_ports()


def leave_session(gateway: Gateway) -> None:
    """A receiver that is away."""
    with paho5_client(gateway.peer, "reader", clean=False, SessionExpiryInterval=NEVER_EXPIRES) as reader:
        assert reader.ask("kept/#", qos=1) == 1


def kept(gateway: Gateway, count: int) -> list[bytes]:
    """What the receiver gets, behind which nothing more comes."""
    with paho5_client(gateway.peer, "reader", clean=False, SessionExpiryInterval=NEVER_EXPIRES) as reader:
        assert reader.session_present
        reader.paho.publish("kept/end", b"end", 1)
        return [reader.next_message().payload for _ in range(count + 1)]


def test_repeats_are_known_after_a_sudden_end(gateway: Gateway) -> None:
    leave_session(gateway)
    with Publisher(gateway) as publisher:
        numbers = [publisher.ask("kept.a", b"%d" % n, f"id-{n}")["seq"] for n in range(10)]
    assert numbers == sorted(numbers)
    restart(gateway)
    with Publisher(gateway) as publisher:
        again = [publisher.ask("kept.a", b"%d" % n, f"id-{n}") for n in range(10)]
        assert again == [{"seq": number, "duplicate": True} for number in numbers]
        assert publisher.ask("kept.a", b"10", "id-10") == {"seq": numbers[-1] + 1}
    assert kept(gateway, 11) == [b"%d" % n for n in range(11)] + [b"end"]


def test_what_died_between_commit_and_answer_is_not_doubled(gateway: Gateway) -> None:
    leave_session(gateway)
    published = 0
    for _ in range(5):
        with Publisher(gateway) as publisher:
            for _ in range(40):
                publisher.say("kept.a", b"%d" % published, f"id-{published}")
                published += 1
            publisher.answer()  # of the others nobody knows
            restart(gateway)
        with Publisher(gateway) as publisher:
            for n in range(published):
                assert "seq" in publisher.ask("kept.a", b"%d" % n, f"id-{n}")
    found = kept(gateway, published)
    assert sorted(found[:-1]) == sorted(b"%d" % n for n in range(published))
    assert found[-1] == b"end"


def test_disk_that_refuses_is_told_and_what_was_held_is_a_repeat_later(gateway: Gateway) -> None:
    leave_session(gateway)
    with Publisher(gateway) as publisher, Publisher(gateway) as other:
        assert "seq" in publisher.ask("kept.a", bytes(LARGE), "large")
        gateway.refuse()
        publisher.say("kept.a", b"held", "held")
        gateway.wait_health(503)
        for identifier in ("held", "new"):
            refused = other.ask("kept.a", identifier.encode(), identifier)
            assert refused["error"]["code"] == 503
            assert refused["error"]["description"]
        assert "seq" in other.ask("elsewhere", b"")
        gateway.accept()
        number = publisher.answer()["seq"]
        gateway.wait_health(200)
        assert other.ask("kept.a", b"held", "held") == {"seq": number, "duplicate": True}
        assert "duplicate" not in other.ask("kept.a", b"new", "new")
    assert kept(gateway, 3) == [bytes(LARGE), b"held", b"new", b"end"]
