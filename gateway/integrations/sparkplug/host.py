"""HostIntegration: what edge nodes say becomes JSON on subjects, and requests on subjects become commands to them.

    PREFIX.GROUP.NODE.node.METRIC, PREFIX.GROUP.NODE.device.DEVICE.METRIC      a value
    PREFIX.GROUP.NODE.presence, PREFIX.GROUP.NODE.presence.DEVICE              whether it is there, retained
    PREFIX.GROUP.NODE.command.node.METRIC, ….command.device.DEVICE.METRIC      a request to write a value
    PREFIX.GROUP.NODE.command.rebirth                                          a request for a rebirth

What stands between the dots is legal in a subject, so the JSON of a value tells the metric's name again.
"""

from typing import NamedTuple

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.dataplane.port import Port
from gateway.integrations.inlet import ILLEGAL
from gateway.integrations.integration import Integration
from gateway.integrations.requests import INVALID, MISSING, Request, Requests
from gateway.integrations.site import Site, first_of
from gateway.integrations.sparkplug.brokers import Broker, Heard, open_broker, part
from gateway.integrations.sparkplug.host_state import encode_state, read_state
from gateway.runtime.moments import now_ms
from gateway.runtime.turns import OwnTurn
from gateway.services.presence import Presence
from gateway.settings.sparkplug import SparkplugHost
from protocols import foreign_json
from protocols.foreign_text import is_legal_literal, make_token
from protocols.message import RETAIN_HEADER, Message, make_message
from protocols.mqtt import packets
from protocols.protobuf import ProtobufError
from protocols.sparkplug import host_view
from protocols.sparkplug.edge_node import NODE
from protocols.sparkplug.host_view import Ask, Dropped, Event, HostView, Reading
from protocols.sparkplug.payload import decode_payload
from protocols.sparkplug.topics import DCMD, NAMESPACE, NCMD, Topic, parse_topic, state_topic
from protocols.sparkplug.values import Json, ValueTypeError, properties_as_json, type_name, value_of

# A payload as large as this is read in a thread.
LARGE_PAYLOAD = 1 << 13
LONGEST_VALUE = 1 << 16
COMMAND, REBIRTH = b"command", b"rebirth"
MALFORMED = "a message is no payload of Sparkplug's"


class Place(NamedTuple):
    """Where a metric is."""

    group: str
    node: str
    device: str
    name: str


class HostIntegration(Integration):
    config: SparkplugHost

    def __init__(self, site: Site, config: SparkplugHost) -> None:
        super().__init__(site, config)
        self._view = HostView(config.rebirth_seconds)
        self._account: Account | None = None
        self._requests: Requests[bytes] | None = None
        self._presences: dict[tuple[str, str, str], Presence] = {}
        self._prefix = config.prefix.encode()
        # The subjects of metrics, and which metrics those are.
        self._subjects: dict[Place, bytes] = {}
        self._places: dict[bytes, Place] = {}
        # Of nodes, by how their subjects begin.
        self._nodes: dict[bytes, tuple[str, str]] = {}
        self._since = 0

    def begin(self, account: Account) -> None:
        self._account = account
        self.make_inlet(account, self.config.publish)
        self._requests = Requests(self, account, "a metric was not written", "there is no broker")
        self._requests.listen(f"{self.config.prefix}.*.*.command.>", self._asked)

    async def finish(self) -> None:
        if self._requests is not None:
            self._requests.close()

    async def serve(self) -> None:
        config, requests = self.config, self._requests
        assert self._account is not None
        assert requests is not None
        self._since = now_ms()
        topic = state_topic(config.host_id or config.name)
        will = (
            packets.Will(topic.encode(), encode_state(False, self._since), qos=1, retain=True)
            if config.host_id
            else None
        )
        groups = config.groups or ("+",)
        wanted = [f"{NAMESPACE}/{group}/{levels}" for group in groups for levels in ("+/+", "+/+/+")]
        wanted += [topic] if config.host_id else []
        broker = await open_broker(self.site.runtime, self._account, config, will, wanted, self.drops)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(broker.run)
                if config.host_id:
                    await broker.publish(topic, encode_state(True, self._since), qos=1, retain=True)
                self.goes()
                nursery.start_soon(self._answer_requests, broker, requests)
                await self._listen(broker)
        except BaseExceptionGroup as group:
            raise first_of(group) from None
        finally:
            self._lose()
            requests.turn_away()
            await part(broker, (topic, encode_state(False, now_ms())) if config.host_id else None, retain=True)

    def _lose(self) -> None:
        """Without a broker nothing is known of anybody."""
        for group, node, event in self._view.lose():
            self._tell_presence(group, node, event)
        self.site.runtime.switch.flush()

    # What edge nodes say.

    async def _listen(self, broker: Broker) -> None:
        turn = OwnTurn(self.site.runtime.turns)
        while True:
            for heard in await broker.receive():
                await self._take(broker, heard, turn)

    async def _take(self, broker: Broker, heard: Heard, turn: OwnTurn) -> None:
        config = self.config
        topic = parse_topic(heard.topic)
        if topic is None:
            if (
                config.host_id
                and heard.topic == state_topic(config.host_id)
                and not is_online(heard.payload, self._since)
            ):
                # The death of a connection of ours that was before this one.
                await broker.publish(heard.topic, encode_state(True, self._since), qos=1, retain=True)
            return
        try:
            events = await self._hear(topic, heard.payload)
        except ProtobufError as error:
            self.drops.count(MALFORMED, example=f"{heard.topic}: {error}")
            return
        messages: list[Message] = []
        for event in events:
            if turn.is_over():
                await turn.next()
            if isinstance(event, Reading):
                message = self._message(topic, event)
                if message is not None:
                    messages.append(message)
            elif isinstance(event, Ask):
                await broker.publish(event.topic, event.payload)
            elif isinstance(event, Dropped):
                self.drops.count(event.reason, event.count, heard.topic)
            else:
                self._tell_presence(topic.group, topic.node, event)
        if messages:
            assert self.inlet is not None
            await self.inlet.publish(messages)

    async def _hear(self, topic: Topic, data: bytes) -> list[Event]:
        now = trio.current_time()

        def hear() -> list[Event]:
            return self._view.receive(topic, decode_payload(data), now)

        return hear() if len(data) < LARGE_PAYLOAD else await trio.to_thread.run_sync(hear)

    def _message(self, topic: Topic, reading: Reading) -> Message | None:
        if reading.is_birth and self.config.births == "skip":
            self._subject(Place(topic.group, topic.node, reading.device, reading.name))
            return None
        place = Place(topic.group, topic.node, reading.device, reading.name)
        subject = self._subject(place)
        if not subject:
            self.drops.count(ILLEGAL, example=f"{topic}: {reading.name}")
            return None
        try:
            told = told_of(reading)
        except ValueTypeError as error:
            self.drops.count(f"a value is none of its type: {type_name(reading.datatype)}", example=f"{topic}: {error}")
            return None
        header = RETAIN_HEADER if self.config.retain and not reading.metric.is_historical else b""
        return make_message(subject, msgspec.json.encode(told), header=header)

    def _subject(self, place: Place) -> bytes:
        """b"" for what makes none."""
        subject = self._subjects.get(place)
        if subject is None:
            lead = self._lead(place.group, place.node)
            whose = [b"device", make_token(place.device.encode())] if place.device else [b"node"]
            tokens = [make_token(level.encode()) for level in place.name.split("/")]
            subject = b".".join([lead, *whose, *filter(None, tokens)])
            if not is_legal_literal(subject) or not any(tokens):
                subject = b""
            if len(self._subjects) >= host_view.MOST_METRICS:
                self._subjects.clear()
                self._places.clear()
            self._subjects[place] = subject
            if subject:
                self._places[subject] = place
        return subject

    def _lead(self, group: str, node: str) -> bytes:
        lead = b".".join((self._prefix, make_token(group.encode()) or b"_", make_token(node.encode()) or b"_"))
        if len(self._nodes) < host_view.MOST_NODES:
            self._nodes[lead] = group, node
        return lead

    def _tell_presence(self, group: str, node: str, event: Event) -> None:
        if not isinstance(event, host_view.Presence):
            return
        assert self._account is not None
        key = group, node, event.device
        presence = self._presences.get(key)
        if presence is None:
            subject = self._lead(group, node) + b".presence"
            if event.device:
                subject += b"." + (make_token(event.device.encode()) or b"_")
            presence = self._presences[key] = Presence(self._account, subject)
        presence.tell(
            event.is_online, {"group": group, "node": node} | ({"device": event.device} if event.device else {})
        )
        if not event.is_online:  # Somebody else may have its place.
            del self._presences[key]
        self.site.runtime.switch.flush()

    # What is asked of them.

    def _asked(self, message: Message, asker: Port) -> None:
        assert self._requests is not None
        self._requests.add(Request(message, asker, message.payload()))

    async def _answer_requests(self, broker: Broker, requests: Requests[bytes]) -> None:
        while True:
            await requests.wait()
            while (request := requests.next()) is not None:
                await self._ask(broker, requests, request)

    async def _ask(self, broker: Broker, requests: Requests[bytes], request: Request[bytes]) -> None:
        tokens = request.subject[len(self._prefix) + 1 :].split(b".")
        lead = b".".join((self._prefix, *tokens[:2]))
        if tokens[3:] == [REBIRTH]:
            found = self._nodes.get(lead)
            if found is None:
                requests.answer(request, MISSING, "no such edge node was heard of")
                return
            await broker.publish(str(Topic(found[0], NCMD, found[1])), host_view.rebirth_request(now_ms()))
            requests.answer(request)
            return
        place = self._places.get(b".".join((lead, *tokens[3:])))
        definition = self._view.definition(*place) if place is not None else None
        if place is None or definition is None:
            requests.answer(request, MISSING, "no such metric was heard of, or its edge node is away")
            return
        try:
            payload = host_view.command(definition, value_in(request.what), now_ms())
        except ValueTypeError as error:
            requests.answer(request, INVALID, str(error))
            return
        topic = Topic(place.group, DCMD, place.node, place.device) if place.device != NODE else None
        await broker.publish(str(topic or Topic(place.group, NCMD, place.node)), payload)
        requests.answer(request)


def told_of(reading: Reading) -> dict[str, Json]:
    """A value as JSON has it. Raises ValueTypeError."""
    metric = reading.metric
    told: dict[str, Json] = {
        "value": value_of(metric, reading.datatype),
        "timestamp": reading.timestamp,
        "type": type_name(reading.datatype),
        "metric": reading.name,
    }
    for name, is_so in (
        ("birth", reading.is_birth),
        ("historical", metric.is_historical),
        ("transient", metric.is_transient),
    ):
        if is_so:
            told[name] = True
    if reading.properties:
        told["properties"] = properties_as_json(reading.properties)
    if metric.metadata is not None:
        told["metadata"] = {name: value for name, value in msgspec.structs.asdict(metric.metadata).items() if value}
    return told


def value_in(payload: bytes) -> object:
    """JSON, or else a text. Raises ValueTypeError."""
    if len(payload) > LONGEST_VALUE:
        raise ValueTypeError(f"it is longer than {LONGEST_VALUE} bytes")
    try:
        return foreign_json.decode(payload)
    except msgspec.DecodeError:
        return payload.decode("utf-8", "replace")


def is_online(payload: bytes, since: int) -> bool:
    """Whether a state tells that we are there, or is older than our own."""
    state = read_state(payload)
    return state is not None and (state.online or state.timestamp < since)
