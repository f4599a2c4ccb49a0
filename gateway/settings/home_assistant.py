"""The keys of `[home-assistant]`: what Home Assistant is told of devices, so that it has them."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.rules.errors import ExpressionError
from gateway.rules.parsing import Field, parse
from gateway.settings.file import KeyedValueError
from protocols.foreign_text import is_legal_literal
from protocols.home_assistant import CLASS_CHARACTERS, COMPONENTS, WITH_CLASS, WITH_UNIT, complaint
from protocols.mqtt.topics import is_topic_name

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]
Text = Annotated[str, Meta(max_length=256)]
MOST_ENTITIES = 64
# What a field may be: a text, a number, true or false, or a list of texts.
Value = str | int | float | bool | tuple[str, ...]


class Entity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """One entity of a device. A subject that begins with a dot stands behind that of the device."""

    id: Id
    component: str
    name: Text = ""
    state: Text = ""
    command: Text = ""
    value: Text = ""
    unit: Text = ""
    device_class: Text = ""
    more: dict[str, Value] = {}

    def __post_init__(self) -> None:
        if self.component not in COMPONENTS:
            raise KeyedValueError("component", f"{self.component!r} is none of {', '.join(COMPONENTS)}")
        said = complaint(self.component, bool(self.state), bool(self.command), self.more)
        if said:
            raise KeyedValueError("component", said)
        if self.value:
            if not self.state:
                raise KeyedValueError("value", "it is read from the state, and there is none")
            self.path  # noqa: B018 -- it says what is wrong
        for key, text, allowed in (
            ("unit", self.unit, WITH_UNIT),
            ("device-class", self.device_class, WITH_CLASS),
        ):
            if text and self.component not in allowed:
                raise KeyedValueError(key, f"a {self.component} has none")
        if not CLASS_CHARACTERS.issuperset(self.device_class):
            raise KeyedValueError("device-class", f"{self.device_class!r} is no class, as temperature")

    @property
    def path(self) -> tuple[str | int, ...]:
        """The field of a JSON payload that the state is; none for the payload itself."""
        if not self.value:
            return ()
        try:
            node = parse(self.value)
        except ExpressionError as error:
            raise KeyedValueError("value", f"{self.value!r}: {error}") from None
        if not isinstance(node, Field) or any(isinstance(step, str) and set(step) & set("'\\") for step in node.path):
            raise KeyedValueError("value", f"{self.value!r} is no field of a payload, as sensor.temperature")
        return node.path


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A device and its entities. `presence` is where the gateway says whether it is there (boards, serial lines)."""

    id: Id
    entities: tuple[Entity, ...]
    name: Text = ""
    subject: Text = ""
    presence: Text = ""
    manufacturer: Text = ""
    model: Text = ""
    area: Text = ""
    hardware_version: Text = ""
    software_version: Text = ""
    serial_number: Text = ""
    via_device: Id | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.entities) <= MOST_ENTITIES:
            raise KeyedValueError("entities", f"a device has 1 to {MOST_ENTITIES}")
        if self.subject and not is_legal_literal(self.subject.encode()):
            raise KeyedValueError("subject", f"{self.subject!r} is no subject")
        self._check("presence", self.presence)
        places: dict[tuple[str, str], int] = {}
        for index, entity in enumerate(self.entities):
            key = entity.component, entity.id
            if key in places:
                raise KeyedValueError(f"entities[{index}].id", f"entities[{places[key]}] is {entity.id!r} too")
            places[key] = index
            self._check(f"entities[{index}].state", entity.state)
            self._check(f"entities[{index}].command", entity.command)

    def _check(self, place: str, text: str) -> None:
        if not text:
            return
        if text.startswith(".") and not self.subject:
            raise KeyedValueError(place, f"{text!r} begins with a dot, and the device has no subject")
        subject = self.absolute(text)
        if not is_legal_literal(subject.encode()):
            raise KeyedValueError(place, f"{subject!r} is no subject")

    def absolute(self, text: str) -> str:
        """A subject; one that begins with a dot stands behind the device's."""
        return self.subject + text if text.startswith(".") else text


class HomeAssistant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What is told, in which account, and where Home Assistant says that it is born: as it is configured there."""

    account: str = ""
    prefix: str = "homeassistant"
    birth_topic: str = "homeassistant/status"
    devices: tuple[Device, ...] = ()

    def __post_init__(self) -> None:
        for key, topic in (("prefix", self.prefix), ("birth-topic", self.birth_topic)):
            if not is_topic_name(topic.encode()) or topic.startswith(("/", "$")) or topic.endswith("/"):
                raise KeyedValueError(key, f"{topic!r} is no topic, as homeassistant/status")
        places: dict[str, int] = {}
        for index, device in enumerate(self.devices):
            if device.id in places:
                raise KeyedValueError(f"devices[{index}].id", f"devices[{places[device.id]}] is {device.id!r} too")
            places[device.id] = index


def told(value: Any) -> Any:
    """A value of `more` as JSON has it."""
    return list(value) if isinstance(value, tuple) else value
