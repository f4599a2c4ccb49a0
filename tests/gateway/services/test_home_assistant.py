"""What Home Assistant is told: retained, again at its birth, and taken back when it is configured no more."""

import json
from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from gateway.assembly import Gateway
from gateway.services.home_assistant import LINE, PAUSE_SECONDS, HomeAssistantService
from gateway.settings.home_assistant import HomeAssistant
from protocols.message import RETAIN_HEADER, make_message
from tests.gateway.dataplane.places import ClientPort
from tests.gateway.full_disk import FullDisk
from tests.gateway.memory_connection import running_gateway

SHED: dict[str, Any] = {
    "id": "shed",
    "name": "Garden shed",
    "subject": "devices.shed",
    "presence": ".presence",
    "manufacturer": "ours",
    "area": "Garden",
    "entities": [
        {
            "id": "t",
            "component": "sensor",
            "name": "Temperature",
            "state": ".climate",
            "value": "t",
            "unit": "°C",
            "device-class": "temperature",
            "more": {"state_class": "measurement", "expire_after": 600},
        },
        {"id": "heater", "component": "switch", "state": "heater.state", "command": ".heater.set"},
    ],
}
TEMPERATURE = b"homeassistant.sensor.shed.t.config"
HEATER = b"homeassistant.switch.shed.heater.config"


def told_by(*devices: dict[str, Any], **keys: Any) -> HomeAssistant:
    return msgspec.convert({"devices": devices} | keys, HomeAssistant)


async def served(gateway: Gateway, config: HomeAssistant | None) -> HomeAssistantService:
    service = HomeAssistantService(gateway.runtime, gateway.accounts)
    service.replace(config)
    await turns(gateway)
    return service


async def turns(gateway: Gateway) -> None:
    while len(gateway.runtime.turns):
        gateway.runtime.turns.take()
        await trio.lowlevel.checkpoint()


def retained(gateway: Gateway, subject: bytes) -> Any:
    message = gateway.account.retained.get(subject)
    return None if message is None else json.loads(message.payload())


def all_retained(gateway: Gateway) -> set[bytes]:
    return set(gateway.account.retained.containing(LINE))


async def test_what_a_full_disk_did_not_take_is_told_once_it_has_room():
    async with running_gateway() as gateway:
        disk = gateway.account.durability = FullDisk()
        service = await served(gateway, told_by(SHED))
        gateway.account.sweep(100)
        assert all_retained(gateway) == set()
        without_heater = SHED | {"entities": SHED["entities"][:1]}
        service.replace(told_by(without_heater))
        await turns(gateway)
        disk.is_full = False
        gateway.account.sweep(100)
        # What was configured when there was no room, and is not any more, does not come.
        assert all_retained(gateway) == {TEMPERATURE}
        assert retained(gateway, TEMPERATURE)["name"] == "Temperature"
        # Nor what somebody takes back later.
        gateway.account.publish(make_message(TEMPERATURE, b"", header=RETAIN_HEADER))
        gateway.account.sweep(100)
        assert all_retained(gateway) == set()


async def test_entities_are_told_with_device_and_availability():
    async with running_gateway() as gateway:
        await served(gateway, told_by(SHED))
        told = retained(gateway, TEMPERATURE)
        assert told.pop("origin")["name"] == "leafgate"
        assert told == {
            "name": "Temperature",
            "unique_id": "leafgate_shed_t",
            "state_topic": "devices/shed/climate",
            "value_template": "{{ value_json['t'] }}",
            "unit_of_measurement": "°C",
            "device_class": "temperature",
            "state_class": "measurement",
            "expire_after": 600,
            "device": {
                "identifiers": ["leafgate_shed"],
                "name": "Garden shed",
                "manufacturer": "ours",
                "suggested_area": "Garden",
            },
            "availability": [{"topic": "devices/shed/presence", "value_template": "{{ value_json['state'] }}"}],
        }
        heater = retained(gateway, HEATER)
        assert (heater["name"], heater["state_topic"], heater["command_topic"]) == (
            None,
            "heater/state",
            "devices/shed/heater/set",
        )


async def test_what_is_configured_no_more_is_taken_back_and_what_others_told_stays():
    async with running_gateway() as gateway:
        foreign = make_message(b"homeassistant.sensor.other.config", b"{}", header=RETAIN_HEADER)
        gateway.account.publish(foreign, ClientPort(gateway.runtime.switch))
        service = await served(gateway, told_by(SHED))
        assert all_retained(gateway) == {TEMPERATURE, HEATER}
        service.replace(told_by({**SHED, "entities": SHED["entities"][:1]}))
        await turns(gateway)
        assert all_retained(gateway) == {TEMPERATURE}
        service.replace(None)
        await turns(gateway)
        assert all_retained(gateway) == set()
        assert gateway.account.retained.get(foreign.subject) is not None


async def test_what_an_earlier_run_has_told_is_taken_back():
    async with running_gateway() as gateway:
        await served(gateway, told_by(SHED))
        await served(gateway, told_by({**SHED, "id": "barn"}))
        assert all_retained(gateway) == {one.replace(b".shed.", b".barn.") for one in (TEMPERATURE, HEATER)}


async def test_everything_is_told_again_at_its_birth_but_not_without_a_pause(autojump_clock: MockClock):
    async with running_gateway() as gateway:
        await served(gateway, told_by(SHED))
        place = ClientPort(gateway.runtime.switch)
        gateway.account.router.subscribe(place.subscription(b"homeassistant.*.*.*.config"))
        client = ClientPort(gateway.runtime.switch)
        await trio.sleep(PAUSE_SECONDS)
        for payload in (b"offline", b"online", b"online", b"online"):
            gateway.account.publish(make_message(b"homeassistant.status", payload), client)
        await turns(gateway)
        assert place.take().count(b"HMSG homeassistant.") == 2
        await trio.sleep(PAUSE_SECONDS + 1)
        await turns(gateway)
        assert place.take().count(b"HMSG homeassistant.") == 2
        await trio.sleep(PAUSE_SECONDS + 1)
        await turns(gateway)
        assert place.take() == b""


async def test_prefix_and_birth_topic_are_as_configured():
    async with running_gateway() as gateway:
        await served(gateway, told_by(SHED, **{"prefix": "ha/discovery", "birth-topic": "ha/status"}))
        assert all_retained(gateway) == {
            b"ha.discovery.sensor.shed.t.config",
            b"ha.discovery.switch.shed.heater.config",
        }


async def test_configuration_that_is_the_same_is_not_told_again():
    async with running_gateway() as gateway:
        service = await served(gateway, told_by(SHED))
        first = service.announcer
        service.replace(told_by(SHED))
        assert service.announcer is first
