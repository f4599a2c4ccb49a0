"""A gateway with peers of every kind and no socket: what they say goes in by script, what they get is written down.

The sessions, decoders, router and outboxes are the real ones of one form; no time passes and nothing is left to chance,
so equal scripts must give equal records.
"""

import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import trio
from trio.testing import MockClock

from tests.forms import traffic
from tests.forms.both_forms import Form

MOST_PIECES = 1024
MOST_PAYLOAD = 100_000
NATS_CONNECTS = (
    b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1}\r\n',
    b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"echo":false}\r\n',
    b'CONNECT {"verbose":false,"pedantic":false}\r\n',
)
# What each of the peers says: three NATS clients (the last has agreed on no headers), two MQTT clients, two hubs.
SAID = (
    traffic.nats_client,
    traffic.nats_client,
    traffic.headerless_nats_client,
    traffic.mqtt_client,
    traffic.mqtt_client,
    traffic.hub,
    traffic.hub,
    traffic.hub,
    traffic.hub,
)
# Small ones are passed now and then; only the largest lets an outbox be congested for long.
PENDING_LIMITS = (MOST_PAYLOAD, 1 << 20, 8 << 20)
SPOKE_GREETING = b'CONNECT {"name":"spoke-%d","headers":true,"remote_account":"A"}\r\n'
HUB_GREETING = traffic.INFO % (1 << 20, b"false", b"") + traffic.INFO % (1 << 20, b"true", b"")


@dataclass(frozen=True)
class Step:
    """Peer number `place` says something, and afterwards takes up to `room` more bytes (None: any number)."""

    place: int
    said: bytes
    room: int | None = None


@dataclass
class Record:
    """What came of a script: for each peer the bytes of each send, and how its connection stands in the end."""

    sends: list[list[bytes]] = field(default_factory=list)
    standing: list[dict[str, Any]] = field(default_factory=list)
    congested: list[int] = field(default_factory=list)


class Place:
    """One peer: stands in for Connection, of which sessions and outboxes know this much."""

    def __init__(self, form: Form, gateway: Any) -> None:
        self.gateway = gateway
        self.runtime = gateway.runtime
        self.registry = gateway.registry
        self._reasons = form["protocols.close_reason"].CloseReason
        self.outbox = form["gateway.dataplane.outbox"].Outbox(
            self, gateway.runtime.switch, gateway.settings.config.limits.max_pending_bytes
        )
        self.cid = gateway.registry.next_cid()
        self.address = ("127.0.0.1", 50_000)
        self.listener = None
        self.tls = None
        self.browser_login = None
        self.started = self.last_activity = 0.0
        self.close_reason: Any = None
        self.close_detail = ""
        self.session: Any = None
        self.sends: list[bytes] = []
        self.waiting = False
        self._room: int | None = None

    def open(self, session: Any) -> None:
        self.session = session
        session.opened()

    def says(self, data: bytes) -> None:
        if self.close_reason is None:
            self.session.receive(data)
        while self.close_reason is None and self.session.has_more:
            self.session.receive(b"")
        self.gateway.runtime.switch.flush()
        turns = self.gateway.runtime.turns
        while turns:
            turns.take()

    def takes(self, room: int | None) -> None:
        """From now on the peer takes so many bytes more."""
        self._room = room
        if self.waiting and not self.outbox.resume():
            self.waiting = False

    def standing(self) -> dict[str, Any]:
        outbox, port = self.outbox, self.session.port
        return {
            "closed": self.close_reason and (self.close_reason.name, self.close_detail),
            "waiting": self.waiting,
            "pending": outbox.pending(),
            "outbox closed": outbox.closed,
            "messages out": outbox.out_messages,
            "bytes out": outbox.out_bytes,
            "messages in": port.in_messages,
            "bytes in": port.in_bytes,
            "dropped": port.dropped,
        }

    # What sessions need.

    def local_address(self) -> tuple[str, int]:
        return ("127.0.0.1", 4222)

    def introduce(self) -> None:
        pass

    def heartbeats(self, count: int) -> None:
        pass

    def close(self, reason: Any, detail: str = "", farewell: bytes = b"", linger: float = 1.0) -> None:
        if self.close_reason is not None:
            return
        self._ended(reason, detail)
        if farewell:
            self.outbox.write(farewell)
        self.outbox.flush()
        self.outbox.write_wire(self.session.closing_bytes(reason))

    is_paused = False

    async def relieved(self) -> None:
        await trio.sleep_forever()

    def _ended(self, reason: Any, detail: str) -> None:
        self.close_reason = reason
        self.close_detail = detail
        self.session.closed(reason)

    # What outboxes need.

    def send(self, data: bytes | memoryview) -> int:
        taken = bytes(data if self._room is None else data[: self._room])
        if self._room is not None:
            self._room -= len(taken)
        if taken:
            self.sends.append(taken)
        return len(taken)

    def send_pieces(self, pieces: list[bytes | memoryview]) -> int:
        assert len(pieces) <= MOST_PIECES
        return self.send(b"".join(pieces))

    def start_writer(self) -> None:
        self.waiting = True

    def overrun(self) -> None:
        if self.close_reason is None:
            self._ended(self._reasons.SLOW_CONSUMER_PENDING_BYTES, "")


def play(form: Form, steps: Iterable[Step], max_pending: int) -> Record:
    """Introduce the peers (see SAID) to a fresh gateway and play the script to its end."""
    logging.disable(logging.CRITICAL)
    try:
        with form.imported():
            return trio.run(_play, form, steps, max_pending, clock=MockClock())
    finally:
        logging.disable(logging.NOTSET)


async def _play(form: Form, steps: Iterable[Step], max_pending: int) -> Record:
    random.seed(1)  # Queue groups choose by it.
    gateway = _gateway(form, max_pending)
    record = Record()
    async with trio.open_nursery() as waiting:
        # What sessions leave for later never has its turn.
        gateway.runtime.nursery = waiting
        places = _places(form, gateway)
        for step in steps:
            place = places[step.place]
            place.says(step.said)
            record.congested.append(len(gateway.runtime.switch.congested))
            gateway.runtime.switch.congested = []
            place.takes(step.room)
            gateway.runtime.switch.flush()
        waiting.cancel_scope.cancel()
    record.sends = [place.sends for place in places]
    record.standing = [place.standing() for place in places]
    return record


def _gateway(form: Form, max_pending: int) -> Any:
    limits = form["gateway.settings.limits"].Limits(max_payload_bytes=MOST_PAYLOAD, max_pending_bytes=max_pending)
    gateway = form["gateway.assembly"].Gateway(form["gateway.settings.schema"].Config(limits=limits))
    gateway.runtime.turns.clock = lambda: 0.0  # A form that is slower takes no more turns.
    gateway.runtime.names = form["gateway.runtime.identity"].Names("N1", "edge", b"1")
    return gateway


def _places(form: Form, gateway: Any) -> list[Place]:
    """The peers, connected and introduced."""
    places = [Place(form, gateway) for _ in SAID]
    for place, connect in zip(places[:3], NATS_CONNECTS, strict=True):
        place.open(form["gateway.nats.client"].NatsClientSession(place, place.gateway.admission))
        place.says(connect)
    for place, level in zip(places[3:5], (3, 4), strict=True):
        place.open(form["gateway.mqtt.client"].MqttClient(place, place.gateway.admission, place.gateway.mqtt_sessions))
        place.says(traffic.mqtt_connect(level, b"client-%d" % level, will=level == 4))
    url = form["gateway.settings.addresses"].ServerUrl("nats-leaf", "hub.example", 7422, "leaf", "secret")
    spokes = form["gateway.nats.spoke_directory"].SpokeDirectory(gateway.runtime.repeats)
    for number, place in enumerate(places[7:]):
        place.open(form["gateway.nats.leafnode_hub"].HubSession(place, gateway.admission, spokes))
        place.outbox.flush()
        place.sends.clear()  # A challenge is another one each time.
        place.says(SPOKE_GREETING % number)
    for number, place in enumerate(places[5:7]):
        uplink = form["gateway.uplink.leafnode_uplink"].LeafnodeUplink(
            gateway.runtime,
            gateway.registry,
            gateway.account,
            form["gateway.settings.uplink"].Uplink(urls=(url,)),
            number,
        )
        place.open(form["gateway.nats.leafnode_spoke"].SpokeSession(place, uplink))
        place.says(HUB_GREETING)
    return places


def script(source: random.Random, length: int, damage: float = 0.02) -> list[Step]:
    """A random script; `damage` is the share of steps with bytes that no decoder should take."""
    steps: list[Step] = []
    for _ in range(length):
        place = source.randrange(len(SAID))
        stream = b"".join(SAID[place](source) for _ in range(source.choice((1, 1, 3, 8))))
        if source.random() < damage:
            stream = traffic.damaged(source, stream)
        for piece in traffic.cut(source, stream):
            room = None if source.random() < 0.6 else source.choice((0, 1, 1000, 20_000, 300_000))
            steps.append(Step(place, piece, room))
    return steps
