"""NodeIntegration: an edge node with its devices, out of subjects, at the gateway itself or at another broker.

What is published goes out as it comes. What waited because the broker or the primary host was away goes out behind the
births, and says that it is historical.
"""

import time
from collections.abc import Iterable

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.integrations.integration import Integration
from gateway.integrations.outlet import Batch
from gateway.integrations.site import IntegrationError, Site, first_of
from gateway.integrations.sparkplug.brokers import Broker, Heard, open_broker, part
from gateway.integrations.sparkplug.host_state import HostState, read_state
from gateway.integrations.sparkplug.mapping import Mapping, Route, text_of
from gateway.runtime.drops import example_of
from gateway.runtime.moments import now_ms
from gateway.runtime.turns import OwnTurn
from gateway.settings.sparkplug import NodeDevice, SparkplugNode
from protocols import foreign_json
from protocols.foreign_text import is_legal_literal
from protocols.message import Message, make_message
from protocols.mqtt import packets
from protocols.protobuf import ProtobufError
from protocols.sparkplug.edge_node import NODE, REBIRTH, Command, EdgeNode, Known, Told
from protocols.sparkplug.payload import Metric, decode_payload
from protocols.sparkplug.topics import DCMD, NCMD, Topic, is_id, parse_topic, state_topic
from protocols.sparkplug.values import UNKNOWN, ValueTypeError, set_value, type_name, type_of
from protocols.subject_template import SubjectTemplate

BATCH_MESSAGES, BATCH_BYTES = 2000, 1 << 20
MILLISECOND = 1_000_000
# A node with more takes a while to be born.
MANY_METRICS = 500
# Births that are asked for again sooner than this wait for one another.
REBIRTH_SECONDS = 1.0
NO_METRIC = "no metric can be made of its subject"
NO_VALUE_WORDS = "there is no value in it"
NO_ROOM = "there are too many metrics, or devices"
AWAY = "its device is said to be away: only the last value is kept"
UNWRITABLE = "a command is for a metric that cannot be written"
MALFORMED = "a command is no payload of Sparkplug's"


class PresenceState(msgspec.Struct):
    """What gateway.services.presence tells."""

    state: str


class PresenceReceiver(Receiver):
    """Hears whether something is there that is a device."""

    __slots__ = ("_integration", "_template")

    def __init__(self, integration: "NodeIntegration", config: NodeDevice) -> None:
        super().__init__(Port(None), config.presence.encode(), b"")
        self.dear = SERVICE
        self._integration = integration
        self._template = SubjectTemplate(config.device)

    def deliver(self, message: Message, source: Port) -> bool:
        device = self._template.make(message.subject.decode("utf-8", "replace"))
        try:
            told = foreign_json.decode(message.payload(), PresenceState)
        except msgspec.DecodeError:
            return True  # It is somebody's own message.
        if is_id(device):
            self._integration.presence_heard(device, told.state == "online")
        return True


class NodeIntegration(Integration):
    config: SparkplugNode

    def __init__(self, site: Site, config: SparkplugNode) -> None:
        super().__init__(site, config)
        self._edge = EdgeNode(config.group, config.node)
        self._mapping = Mapping(config.metrics)
        # Where what is written to a metric goes, by its alias.
        self._commands: dict[int, str] = {}
        self._sending = trio.Lock()
        self._account: Account | None = None
        self._presences: list[PresenceReceiver] = []
        # Devices that came or left, and were not told of yet.
        self._moved: dict[str, bool] = {}
        self._news = trio.Event()
        self._born_ns = 0
        self._rebirth_wanted = trio.Event()
        self._host = HostState(online=False, timestamp=-1)
        self._host_changed = trio.Event()

    def begin(self, account: Account) -> None:
        config = self.config
        self._account = account
        self.make_inlet(account, config.publish)
        self.make_outlet(account, config.taken)
        for subject in config.taken:
            for message in account.retained.matching(subject.encode()):
                if message is not None:
                    self._learn(message.subject, message.payload())
        for device in config.devices:
            receiver = PresenceReceiver(self, device)
            self._presences.append(receiver)
            account.router.subscribe(receiver)
            for message in account.retained.matching(receiver.subject):
                if message is not None:
                    receiver.deliver(message, receiver.port)

    async def finish(self) -> None:
        for receiver in self._presences:
            assert self._account is not None
            self._account.router.unsubscribe(receiver)
        self._presences.clear()

    async def serve(self) -> None:
        config, edge = self.config, self._edge
        assert self._account is not None
        self._host = HostState(online=False, timestamp=-1)
        death = edge.connect(now_ms())
        will = packets.Will(death.topic.encode(), death.payload, qos=1)
        wanted = [str(Topic(config.group, NCMD, config.node)), str(Topic(config.group, DCMD, config.node, "+"))]
        if config.primary_host:
            wanted.append(state_topic(config.primary_host))
        broker = await open_broker(self.site.runtime, self._account, config, will, wanted, self.drops)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(broker.run)
                nursery.start_soon(self._listen, broker)
                await self._wait_for_host()
                await self._tell_births(broker)
                self.goes()
                nursery.start_soon(self._watch_presences, broker)
                nursery.start_soon(self._answer_rebirths, broker)
                await self._send(broker)
        except BaseExceptionGroup as group:
            raise first_of(group) from None
        finally:
            farewell = edge.death(now_ms()) if self._born_ns else None
            self._born_ns = 0
            await part(broker, farewell)

    async def _wait_for_host(self) -> None:
        while self.config.primary_host and not self._host.online:
            self.falters(f"the primary host {self.config.primary_host} is not there")
            self._host_changed = trio.Event()
            await self._host_changed.wait()

    async def _tell_births(self, broker: Broker) -> None:
        async with self._sending:
            now = time.time_ns()
            self._born_ns = self._born_ns or now
            self._moved.clear()
            await self._tell(broker, self._edge.births(now // MILLISECOND))

    async def _tell(self, broker: Broker, told: Iterable[Told]) -> None:
        """Births of many metrics are made in a thread."""
        waiting = iter(told)
        takes_long = len(self._edge) > MANY_METRICS

        def following() -> Told | None:
            return next(waiting, None)

        while (one := await trio.to_thread.run_sync(following) if takes_long else following()) is not None:
            await broker.publish(one.topic, one.payload)

    # What goes out.

    async def _send(self, broker: Broker) -> None:
        outlet = self.outlet
        assert outlet is not None
        while True:
            batch = await outlet.next_batch(BATCH_MESSAGES, BATCH_BYTES, self.config.batch_max_seconds)
            async with self._sending:
                await self._deliver(broker, batch)
            await broker.settle()
            batch.done()

    async def _deliver(self, broker: Broker, batch: Batch) -> None:
        """What is new in a birth first, then everything in its order."""
        edge, turn = self._edge, OwnTurn(self.site.runtime.turns)
        waiting: dict[str, list[Metric]] = {}
        to_be_born: dict[str, None] = {}
        for message in batch.messages:
            route = self._route(message.subject)
            if route is None:
                continue
            for known, metric, is_new in self._metrics(route, message.subject, message.payload, message.time_ns):
                if is_new:
                    to_be_born[route.device] = None
                if edge.is_absent(route.device):
                    self.drops.count(AWAY, example=example_of(message.subject))
                    continue
                metric.alias = known.alias
                metric.is_historical = message.time_ns < self._born_ns
                waiting.setdefault(route.device, []).append(metric)
            if turn.is_over():
                await turn.next()
        now = now_ms()
        if NODE in to_be_born:
            await self._tell(broker, edge.births(now))
        else:
            await self._tell(broker, (edge.device_birth(one, now) for one in to_be_born if not edge.is_absent(one)))
        for device, metrics in waiting.items():
            await self._tell(broker, edge.data(device, metrics, now))

    def _learn(self, subject: bytes, payload: bytes) -> None:
        """A value that was there before."""
        route = self._route(subject)
        if route is not None:
            self._metrics(route, subject, payload, time.time_ns())

    def _route(self, subject: bytes) -> Route | None:
        route = self._mapping.route(subject)
        if route is None:
            self.drops.count(NO_METRIC, example=example_of(subject))
        return route

    def _metrics(self, route: Route, subject: bytes, payload: bytes, time_ns: int) -> list[tuple[Known, Metric, bool]]:
        """What a message says of metrics, which are defined where they are new."""
        edge, found = self._edge, []
        pairs = self._mapping.read(route, subject, payload)
        if not pairs:
            self.drops.count(NO_VALUE_WORDS, example=example_of(subject))
        for name, value in pairs:
            known = edge.find(route.device, name)
            datatype = known.datatype if known is not None else route.datatype or type_of(value)
            metric = Metric(timestamp=time_ns // MILLISECOND)
            try:
                set_value(metric, datatype, value)
            except ValueTypeError as error:
                self.drops.count(
                    f"its value is none of {type_name(datatype)}", example=f"{example_of(subject)}: {error}"
                )
                continue
            is_new = known is None
            if known is None:
                if datatype == UNKNOWN or not edge.has_room(route.device):
                    self.drops.count(NO_ROOM if datatype else NO_VALUE_WORDS, example=example_of(subject))
                    continue
                known = edge.define(route.device, name, datatype)
                self._commands[known.alias] = route.command
            edge.keep(known, metric)
            # Births tell the type, and data do not repeat it.
            told = msgspec.structs.replace(metric, datatype=UNKNOWN)
            found.append((known, told, is_new))
        return found

    # Devices that come and leave.

    def presence_heard(self, device: str, is_present: bool) -> None:
        if self._edge.set_presence(device, is_present):
            self._moved[device] = is_present
            self._news.set()

    async def _watch_presences(self, broker: Broker) -> None:
        edge = self._edge
        while True:
            await self._news.wait()
            self._news = trio.Event()
            async with self._sending:
                moved, self._moved = self._moved, {}
                now = now_ms()
                told = [
                    edge.device_birth(device, now) if is_present else edge.device_death(device, now)
                    for device, is_present in moved.items()
                ]
                await self._tell(broker, told)

    # What comes in.

    async def _listen(self, broker: Broker) -> None:
        while True:
            for heard in await broker.receive():
                await self._take(heard)

    async def _take(self, heard: Heard) -> None:
        config = self.config
        if config.primary_host and heard.topic == state_topic(config.primary_host):
            self._take_state(heard.payload)
            return
        topic = parse_topic(heard.topic)
        if topic is None:
            return
        try:
            payload = decode_payload(heard.payload)
        except ProtobufError as error:
            self.drops.count(MALFORMED, example=f"{heard.topic}: {error}")
            return
        messages: list[Message] = []
        for command in self._edge.commands(topic.device, payload):
            if command.device == NODE and command.name == REBIRTH:
                if command.value is True:
                    self._rebirth_wanted.set()
                continue
            message = self._written(command)
            if message is None:
                self.drops.count(UNWRITABLE, example=f"{heard.topic}: {command.name}")
            else:
                messages.append(message)
        if messages:
            assert self.inlet is not None
            await self.inlet.publish(messages)

    def _written(self, command: Command) -> Message | None:
        subject = self._commands.get(command.known.alias, "") if command.known is not None else ""
        if not subject or not is_legal_literal(subject.encode()):
            return None
        return make_message(subject.encode(), text_of(command.value))

    def _take_state(self, payload: bytes) -> None:
        state = read_state(payload)
        if state is None:
            return
        if state.timestamp < self._host.timestamp:  # The death of a connection that another one has replaced.
            return
        was_online = self._host.online
        self._host = state
        self._host_changed.set()
        if was_online and not state.online:
            raise IntegrationError(f"the primary host {self.config.primary_host} has left")

    async def _answer_rebirths(self, broker: Broker) -> None:
        while True:
            await self._rebirth_wanted.wait()
            self._rebirth_wanted = trio.Event()
            await self._tell_births(broker)
            await trio.sleep(REBIRTH_SECONDS)
