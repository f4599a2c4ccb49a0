"""Makes the parts that only some configurations need, each where it is configured first.

Each is imported by the function that makes it: to start takes half the time without them, and less memory.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.accounts.account import Account
from gateway.assembly import Gateway
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.bridge import Bridge as BridgeConfig

if TYPE_CHECKING:
    from gateway.bridges.bridge import Bridge
    from gateway.bridges.bridges import Bridges
    from gateway.devices.service import SerialService
    from gateway.forwarding.buffers import Buffers
    from gateway.integrations.integrations import Integrations
    from gateway.mqtt.sessions import MqttSessions
    from gateway.pair.mirrored_sessions import MirroredSessions
    from gateway.pair.pair import Pair
    from gateway.services.home_assistant import HomeAssistantService
    from gateway.services.rules import RuleAtWork, Rules
    from gateway.storage.streams.store import StreamStore
    from gateway.streams.account_streams import AccountStreams
    from gateway.uplink.leafnode_uplink import LeafnodeUplink
    from gateway.uplink.uplinks import Uplinks


def make_uplinks(gateway: Gateway, links: "list[LeafnodeUplink]") -> "Uplinks":
    from gateway.uplink.uplinks import Uplinks

    return Uplinks(gateway.runtime, gateway.registry, gateway.find_account, links)


def make_buffers(
    gateway: Gateway, make_memory: "Callable[[], StreamStore]", links: "list[LeafnodeUplink]"
) -> "Buffers":
    from gateway.forwarding.buffers import Buffers

    service = gateway.stream_service
    return Buffers(
        gateway.runtime,
        gateway.streams,
        make_memory,
        gateway.accounts,
        gateway.find_account,
        links,
        service.settings if service is not None else None,
    )


def make_bridges(gateway: Gateway, links: "list[Bridge]") -> "Bridges":
    from gateway.bridges.bridges import Bridges

    directory = gateway.ask_for_mqtt()

    def sessions_of(bridge: BridgeConfig) -> "MqttSessions":
        return directory.of(gateway.accounts[bridge.account or DEFAULT_ACCOUNT])

    return Bridges(gateway.runtime, gateway.registry, directory, sessions_of, links)


def make_integrations(gateway: Gateway) -> "Integrations":
    from gateway.integrations.integrations import Integrations
    from gateway.integrations.kinds import make_integration
    from gateway.integrations.site import Site

    service = gateway.stream_service
    streams = service.accounts if service is not None else {}
    return Integrations(Site(gateway.runtime, gateway.find_account, streams.get), make_integration)


def make_rules(gateway: Gateway, at_work: "list[RuleAtWork]") -> "Rules":
    from gateway.services.rules import Rules

    return Rules(gateway.runtime, gateway.accounts, at_work)


def make_home_assistant(gateway: Gateway) -> "HomeAssistantService":
    from gateway.services.home_assistant import HomeAssistantService

    return HomeAssistantService(gateway.runtime, gateway.accounts)


def make_serial(gateway: Gateway, faults: dict[str, str]) -> "SerialService":
    from gateway.devices.device import Site
    from gateway.devices.service import SerialService

    site = Site(gateway.runtime, gateway.registry, gateway.admission, gateway.account)
    return SerialService(site, gateway.settings.config.serial, faults)


def make_pair(gateway: Gateway, addresses: list[tuple[str, str]]) -> "Pair | None":
    config = gateway.settings.config
    if config.pair is None:
        return None
    from gateway.pair.pair import Pair

    account = gateway.accounts[config.pair_account]
    sessions = make_mirrored_sessions(gateway, account) if config.pair.sessions else None

    def streams() -> "AccountStreams | None":
        service = gateway.stream_service
        return service.accounts.get(account.name) if service is not None else None

    return Pair(gateway.runtime, config.pair, account, lambda: addresses, sessions, streams)


def make_mirrored_sessions(gateway: Gateway, account: Account) -> "MirroredSessions":
    """With what an earlier run has left; to be made before the journal is started."""
    from gateway.pair.mirrored_sessions import MirroredSessions
    from gateway.pair.notes import Notes
    from gateway.pair.session_copies import PLACE_BYTES, SHADOW, SessionCopies

    storage = gateway.storage
    assert storage is not None
    sessions = gateway.ask_for_mqtt().of(account)
    store, shadow = storage.account(account.name), storage.account(account.name + SHADOW)
    copies = SessionCopies(sessions, store.mqtt_sessions, shadow.mqtt_sessions, account.clock, shadow.restored)
    gateway.runtime.budget.elsewhere["pair"] = lambda: PLACE_BYTES * copies.places
    notes = Notes(storage.journal, account.name)
    notes.load()
    return MirroredSessions(sessions, store.mqtt_sessions, account.durability, account.clock, copies, notes)
