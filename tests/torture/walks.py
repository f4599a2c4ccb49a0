"""Random walks: clients of all kinds do one thing after the other, and get exactly what a model of MQTT says.

    python -m tests.torture.walks [--walks N] [--steps N] [--seed N]

Between the steps the gateway is killed, and handshakes are broken off in the middle. A failure prints the steps.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from protocols.mqtt import encoder
from protocols.mqtt.packets import Pubrel, Subscription
from protocols.mqtt.primitives import MQTT_3_1_1, MQTT_5_0
from protocols.mqtt.properties import Properties
from protocols.mqtt.publish import Publish
from tests.integration.mqtt_conformance.raw_client import LONG, RawClient
from tests.integration.mqtt_servers import mqtt_server, restart
from tests.integration.peers import Peer
from tests.torture.session_model import Expected, Model, ModelSession

NAMES = ("a", "b", "c", "d")
TOPICS = (b"t/a", b"t/b", b"t/a/b", b"u", b"t", b"u/a", b"$x/a")
FILTERS = (b"t/a", b"t/+", b"t/#", b"#", b"+", b"u", b"+/a", b"u/#", b"t/+/b", b"+/+", b"$x/#")
STEPS = {
    "connect": 3,
    "publish": 12,
    "burst": 2,
    "subscribe": 5,
    "unsubscribe": 1,
    "leave": 2,
    "break_off": 2,
    "kill": 1,
}
LARGEST_BURST = 60


class WalkError(AssertionError):
    """The gateway did what the model does not."""


class Client(RawClient):
    """One that takes every PUBREL, also those of handshakes that a crash has cut off, and remembers them."""

    def __init__(self, address: tuple[str, int], version: int) -> None:
        super().__init__(address, version)
        self.released: list[int] = []

    def receive(self) -> object:
        while self._released(packet := super().receive()):
            pass
        return packet

    def wait_released(self, packet_ids: list[int]) -> bool:
        """Whether these messages are released, and nothing else comes meanwhile."""
        while len(self.released) < len(packet_ids) and self._released(super().receive()):
            pass
        return self.released == packet_ids

    def take(self) -> Publish:
        """The next message, acknowledged, with the end of its handshake if that must not come again."""
        message = self.message()
        self.acknowledge(message)
        if message.qos == 2:
            while not self._released(packet := super().receive()):
                assert isinstance(packet, Publish), packet
                self._messages.append(packet)
        return message

    def acknowledge(self, message: Publish) -> None:
        if message.qos == 1:
            self.send(encoder.encode_puback(self.version, message.packet_id))
        elif message.qos == 2:
            self.send(encoder.encode_pubrec(self.version, message.packet_id))

    def _released(self, packet: object) -> bool:
        if not isinstance(packet, Pubrel):
            return False
        self.send(encoder.encode_pubcomp(self.version, packet.packet_id))
        self.released.append(packet.packet_id)
        return True


class Walk:
    """One gateway with a data directory, and what has been done to it so far."""

    def __init__(self, server: Peer, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.model = Model()
        self.clients: dict[str, Client] = {}
        self.steps: list[tuple[object, ...]] = []
        self._count = 0

    def run(self, steps: int) -> None:
        kinds, weights = list(STEPS), list(STEPS.values())
        for _ in range(steps):
            kind = self.random.choices(kinds, weights)[0]
            name = self.random.choice(NAMES)
            if kind == "kill":
                self.kill()
            elif kind == "connect" or name not in self.clients:
                self.connect(name)
            else:
                getattr(self, kind)(name)

    def close(self) -> None:
        for client in self.clients.values():
            client.close()
        self.clients.clear()

    # Steps.

    def connect(self, name: str) -> None:
        version = self.random.choice((MQTT_5_0, MQTT_5_0, MQTT_3_1_1))
        clean_start = self.random.random() < 0.2
        lasting = self.random.random() < 0.8 if version == MQTT_5_0 else not clean_start
        self._note("connect", name, version, clean_start, lasting)
        self._connect(name, version, clean_start, lasting)
        self._collect(name)

    def publish(self, name: str) -> None:
        topic, retain = self.random.choice(TOPICS), self.random.random() < 0.3
        # What is not acknowledged may be lost in a crash.
        qos = self.random.randrange(1 if retain else 0, 3)
        payload = b"" if retain and self.random.random() < 0.2 else self._payload()
        self._note("publish", name, topic, payload, qos, retain)
        self._publish(name, topic, payload, qos, retain)
        self._collect_all()

    def burst(self, name: str) -> None:
        topic, qos = self.random.choice(TOPICS), self.random.randrange(1, 3)
        count = self.random.randrange(1, LARGEST_BURST)
        self._note("burst", name, topic, qos, count)
        for _ in range(count):
            self._publish(name, topic, self._payload(), qos)
        self._collect_all()

    def subscribe(self, name: str) -> None:
        session, client = self.model.sessions[name], self.clients[name]
        wanted, identifier = Subscription(self.random.choice(FILTERS), self.random.randrange(3)), 0
        if session.version == MQTT_5_0:
            flags = self.random.random() < 0.2, self.random.random() < 0.5, self.random.randrange(3)
            wanted = Subscription(wanted.topic_filter, wanted.qos, *flags)
            identifier = self.random.choice((0, 1, 2, 300))
        self._note("subscribe", name, wanted, identifier)
        properties = Properties(subscription_identifiers=(identifier,)) if identifier else None
        self._check(client.subscribe_all([wanted], properties) == [wanted.qos], "what was granted")
        due = self.model.subscribe(name, wanted, identifier)
        self._compare(name, self._take(name, len(due)), due, in_order=False)

    def unsubscribe(self, name: str) -> None:
        held = sorted(self.model.sessions[name].subscriptions)
        if held:
            topic_filter = self.random.choice(held)
            self._note("unsubscribe", name, topic_filter)
            self.clients[name].unsubscribe(topic_filter)
            self.model.unsubscribe(name, topic_filter)
            self._collect(name)

    def leave(self, name: str) -> None:
        politely = self.random.random() < 0.5
        self._note("leave", name, politely)
        client = self.clients.pop(name)
        if politely:
            client.disconnect()
        else:
            client.cut()
        self.model.leave(name)

    def break_off(self, name: str) -> None:
        """Messages come, some are acknowledged, and then the client has to begin anew."""
        session, client = self.model.sessions[name], self.clients[name]
        sender = next((one for one in sorted(self.clients) if one != name), None)
        if sender is None or not session.lasting:
            return
        topic, qos = self.random.choice(TOPICS), self.random.randrange(1, 3)
        count, how = self.random.randrange(1, 8), self.random.choice(("cut", "take over", "kill"))
        self._note("break off", name, sender, topic, qos, count, how)
        for _ in range(count):
            self._publish(sender, topic, self._payload(), qos)
        for other in sorted(self.clients.keys() - {name}):
            self._collect(other)
        client.barrier()
        got = [client.message() for _ in session.queue]
        done = self.random.randrange(len(got) + 1)
        released = [one.packet_id for one in got[:done] if one.qos == 2]
        client.released.clear()
        for one in got[:done]:
            client.acknowledge(one)
            if one.qos == 1:
                session.acknowledged.add((one.topic, one.payload))
        session.queue = [due for due, one in zip(session.queue, got, strict=True) if one not in got[:done] and due.qos]
        self._check(client.wait_released(released), f"what was released: {client.released}, not {released}")
        self._begin_anew(name, how)

    def kill(self) -> None:
        self._note("kill")
        self.close()
        self.model.crash()
        restart(self.server)

    # How it is done.

    def _begin_anew(self, name: str, how: str) -> None:
        if how == "kill":
            self.kill()
        elif how == "cut":
            self.clients.pop(name).cut()
            self.model.leave(name)
        self._connect(name, self.model.sessions[name].version, False, True)
        self._collect(name)

    def _connect(self, name: str, version: int, clean_start: bool, lasting: bool) -> None:
        before = self.clients.pop(name, None)
        client = Client(("127.0.0.1", self.server.ports["mqtt"]), version)
        fields: dict[str, Any] = {"clean_start": clean_start}
        if version == MQTT_5_0:
            fields["properties"] = Properties(session_expiry_interval=LONG if lasting else 0)
        connack = client.connect(name.encode(), **fields)
        present = self.model.connect(name, version, clean_start, lasting)
        self._check((connack.reason_code, connack.session_present) == (0, present), "the CONNACK")
        self.clients[name] = client
        if before is not None:
            before.rest()
            before.close()

    def _publish(self, name: str, topic: bytes, payload: bytes, qos: int, retain: bool = False) -> None:
        self.clients[name].publish(topic, payload, qos, retain=retain)
        self.model.publish(name, topic, payload, qos, retain)

    def _payload(self) -> bytes:
        self._count += 1
        return b"%d" % self._count

    def _collect_all(self) -> None:
        for name in sorted(self.clients):
            self._collect(name)

    def _collect(self, name: str) -> None:
        """Take what the model says, and nothing else."""
        session = self.model.sessions[name]
        due, session.queue = session.queue, []
        self._compare(name, self._take(name, len(due)), due, in_order=True)

    def _take(self, name: str, count: int) -> list[Publish]:
        """All that comes, acknowledged, without what is known to come again; it should be so many."""
        session, client = self.model.sessions[name], self.clients[name]
        got: list[Publish] = []
        client.barrier()
        while client.has_message() or len(got) < count:
            try:
                message = client.take()
            except TimeoutError:
                break
            if not (message.dup and message.qos == 1 and (message.topic, message.payload) in session.acknowledged):
                got.append(message)
            if message.qos == 1:
                session.acknowledged.add((message.topic, message.payload))
            if not client.has_message():
                client.barrier()
        return got

    def _compare(self, name: str, got: list[Publish], due: list[Expected], in_order: bool) -> None:
        session = self.model.sessions[name]
        for qos in range(3):
            heard = [shown(session, one) for one in got if one.qos == qos]
            wanted = [one for one in due if one.qos == qos]
            if not in_order:
                heard.sort(key=lambda one: one.topic)
                wanted.sort(key=lambda one: one.topic)
            fits = len(heard) == len(wanted) and all(map(fit, heard, wanted))
            if session.version != MQTT_5_0:
                fits = [plain(one) for one in heard] == [plain(one) for one in wanted]
            self._check(fits, f"what {name} got: {heard}, not {wanted}")

    def _check(self, right: bool, what: str) -> None:
        if not right:
            raise WalkError("\n".join([f"wrong: {what}", *map(str, self.steps)]))

    def _note(self, *step: object) -> None:
        self.steps.append(step)


def shown(session: ModelSession, message: Publish) -> Expected:
    identifiers = message.properties.subscription_identifiers if message.properties is not None else ()
    return Expected(message.topic, message.payload, message.qos, message.retain, tuple(sorted(identifiers)))


def fit(heard: Expected, wanted: Expected) -> bool:
    same_retain = wanted.retain is None or heard.retain == wanted.retain
    return same_retain and plain(heard) == plain(wanted) and heard.identifiers == wanted.identifiers


def plain(message: Expected) -> tuple[bytes, bytes, int]:
    return message.topic, message.payload, message.qos


def walk(directory: Path, seed: int, steps: int) -> None:
    """Raises WalkError."""
    with mqtt_server(directory, ["mqtt"], reference=False) as server:
        walking = Walk(server, seed)
        try:
            walking.run(steps)
        finally:
            walking.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--walks", type=int, default=100, metavar="N", help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=200, metavar="N", help="of each walk; default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first walk; default: %(default)s")
    options = parser.parse_args()
    failed = 0
    for seed in range(options.seed, options.seed + options.walks):
        with tempfile.TemporaryDirectory() as directory:
            try:
                walk(Path(directory), seed, options.steps)
            except WalkError as error:
                failed += 1
                print(f"seed {seed}: {error}")
    print(f"{options.walks} walks of {options.steps} steps, {failed} wrong")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
