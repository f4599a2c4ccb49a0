"""Home Assistant: retained messages by which it learns of devices and their entities, told again when it is born."""

import logging
from typing import TYPE_CHECKING

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.runtime.deadlines import Deadline
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.home_assistant import Device, Entity, HomeAssistant, told
from gateway.version import VERSION
from protocols.home_assistant import BORN, STATE_TEMPLATES, discovery_topic, value_template
from protocols.message import Message, make_message
from protocols.topic_mapping import subject_to_topic, topic_to_subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.runtime.runtime import Runtime

log = logging.getLogger("leafgate.homeassistant")

# By this it is known which are ours, also in a later run.
LINE = b"Leafgate-Discovery: 1\r\n"
HEADER = b"NATS/1.0\r\nMqtt-Retain: 1\r\n%b\r\n" % LINE
DELETION = b"NATS/1.0\r\nMqtt-Retain: 1\r\n\r\n"
# However often somebody says that Home Assistant is born, everything is told no more often than this.
PAUSE_SECONDS = 5.0
# So many are told before others have their turn.
TOLD_AT_ONCE = 64


class BirthReceiver(Receiver):
    """Hears when Home Assistant is born."""

    __slots__ = ("_announcer",)

    def __init__(self, announcer: "Announcer", subject: bytes) -> None:
        super().__init__(Port(None), subject, b"")
        self.dear = SERVICE
        self._announcer = announcer

    def deliver(self, message: Message, source: Port) -> bool:
        if message.payload() == BORN:
            self._announcer.born()
        return not message.reply


class Announcer:
    """Tells in one account what is configured, and takes back what is not any more."""

    def __init__(self, runtime: "Runtime", account: Account, config: HomeAssistant) -> None:
        self.config = config
        self.account = account
        self._runtime = runtime
        self._messages = messages_of(config)
        self._left: list[tuple[bytes, bytes]] = []
        self._last = -PAUSE_SECONDS
        self._again: Deadline | None = None
        self._receiver = BirthReceiver(self, topic_to_subject(config.birth_topic.encode()) or b"")

    def begin(self) -> None:
        """Tell everything, and take back what an earlier run or configuration has told."""
        self.account.router.subscribe(self._receiver)
        for subject in self.account.retained.containing(LINE):
            if subject not in self._messages:
                take_back(self.account, subject)
        self.tell_all()
        log.info("event=announced devices=%d entities=%d", len(self.config.devices), len(self._messages))

    def end(self) -> None:
        """What was told stays: the next one takes it back, where it has it not."""
        self.account.router.unsubscribe(self._receiver)
        self._runtime.deadlines.cancel(self._again)
        self._left.clear()
        for subject in self._messages:
            self.account.untold.pop(subject, None)

    def born(self) -> None:
        """Tell everything again, soon."""
        now = trio.current_time()
        if now >= self._last + PAUSE_SECONDS:
            self.tell_all()
        elif self._again is None or self._again.action is None:
            self._again = self._runtime.deadlines.call_at(self._last + PAUSE_SECONDS, lambda _: self.tell_all())

    def tell_all(self) -> None:
        self._last = trio.current_time()
        begun = bool(self._left)
        self._left = [*self._messages.items()]
        if not begun:
            self._runtime.turns.add(self._tell_some)

    def _tell_some(self) -> bool:
        some, self._left = self._left[:TOLD_AT_ONCE], self._left[TOLD_AT_ONCE:]
        for subject, payload in some:
            self.account.insist(make_message(subject, payload, header=HEADER))
        self._runtime.switch.flush()
        return bool(self._left)


class HomeAssistantService:
    """What is told, begun and changed as the configuration says."""

    def __init__(self, runtime: "Runtime", accounts: "Mapping[str, Account]") -> None:
        self.announcer: Announcer | None = None
        self._runtime = runtime
        self._accounts = accounts

    def replace(self, config: HomeAssistant | None) -> None:
        before = self.announcer
        account = self._accounts.get(config.account or DEFAULT_ACCOUNT) if config is not None else None
        if before is not None:
            if before.config == config and before.account is account:
                return
            before.end()
            self.announcer = None
            if account is not before.account:
                forget(before.account)
        if config is not None and account is not None:
            self.announcer = Announcer(self._runtime, account, config)
            self.announcer.begin()


def forget(account: Account) -> None:
    """Take back everything that was told in an account."""
    for subject in account.retained.containing(LINE):
        take_back(account, subject)


def take_back(account: Account, subject: bytes) -> None:
    kept = account.retained.get(subject)
    if kept is not None and LINE in kept.header():  # Otherwise it is a message of somebody's own.
        account.publish(make_message(subject, b"", header=DELETION))


def messages_of(config: HomeAssistant) -> dict[bytes, bytes]:
    """The payload for each subject."""
    found: dict[bytes, bytes] = {}
    for device in config.devices:
        for entity in device.entities:
            topic = discovery_topic(config.prefix, entity.component, device.id, entity.id)
            subject = topic_to_subject(topic.encode())
            assert subject is not None
            found[subject] = msgspec.json.encode(payload_of(device, entity))
    return found


def payload_of(device: Device, entity: Entity) -> dict[str, object]:
    payload: dict[str, object] = {
        # Without a name of its own it is called as the device is.
        "name": entity.name or None,
        "unique_id": f"leafgate_{device.id}_{entity.id}",
        "device": device_fields(device),
        "origin": {"name": "leafgate", "sw_version": VERSION},
    }
    if entity.state:
        payload["state_topic"] = topic_of(device.absolute(entity.state))
    if entity.command:
        payload["command_topic"] = topic_of(device.absolute(entity.command))
    if entity.path:
        payload[STATE_TEMPLATES.get(entity.component, "value_template")] = value_template(entity.path)
    if entity.unit:
        payload["unit_of_measurement"] = entity.unit
    if entity.device_class:
        payload["device_class"] = entity.device_class
    if device.presence:
        # As gateway.services.presence tells it; "online" and "offline" are Home Assistant's own words.
        topic = topic_of(device.absolute(device.presence))
        payload["availability"] = [{"topic": topic, "value_template": value_template(("state",))}]
    return payload | {name: told(value) for name, value in entity.more.items()}


def device_fields(device: Device) -> dict[str, object]:
    fields: dict[str, object] = {"identifiers": [f"leafgate_{device.id}"], "name": device.name or device.id}
    more = {
        "manufacturer": device.manufacturer,
        "model": device.model,
        "suggested_area": device.area,
        "hw_version": device.hardware_version,
        "sw_version": device.software_version,
        "serial_number": device.serial_number,
        "via_device": f"leafgate_{device.via_device}" if device.via_device else "",
    }
    return fields | {name: text for name, text in more.items() if text}


def topic_of(subject: str) -> str:
    return subject_to_topic(subject.encode()).decode()
