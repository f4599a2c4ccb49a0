"""Gateway: the parts of a gateway, put together, before anything runs (gateway.daemon)."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from gateway.accounts.account import DISK_LIMIT, UNLIMITED, Account
from gateway.accounts.permissions import Permissions
from gateway.accounts.sharing import Sharing
from gateway.accounts.users import ConfiguredAdmission
from gateway.doors.door import Door
from gateway.doors.listeners import OpenListener
from gateway.doors.session_makers import session_makers
from gateway.runtime.identity import Names, new_gateway_id, new_server_id
from gateway.runtime.neighbour import Neighbour
from gateway.runtime.runtime import Runtime
from gateway.services.acknowledged_publish import AcknowledgedPublish
from gateway.services.presence import take_back
from gateway.services.retained_requests import RetainedRequests
from gateway.services.time_requests import TimeRequests
from gateway.services.user_requests import UserRequests
from gateway.settings.account_names import DEFAULT_ACCOUNT, SYSTEM_ACCOUNT
from gateway.settings.listener import Listener
from gateway.settings.live import Settings
from gateway.settings.schema import Config
from gateway.settings.security import AccountRules, PermissionRules
from gateway.settings.streams import Streams
from gateway.storage.durability import Durability
from gateway.storage.joint_durability import JointDurability
from gateway.storage.published_ids import PublishedIds
from gateway.storage.retained_messages import RetainedMessages
from gateway.transport.reader import Reader
from gateway.transport.registry import Registry
from protocols.close_reason import CloseReason

# The parts that only some configurations need. Each is imported by the function below that makes it, where it is
# configured: to start takes half the time without them, and less memory.
if TYPE_CHECKING:
    from gateway.accounts.callout import ConfiguredCallout
    from gateway.accounts.jwt_admission import JwtAdmission
    from gateway.accounts.nkeys import KeyPair
    from gateway.accounts.trust import TrustedAccounts
    from gateway.mqtt.directory import SessionDirectory
    from gateway.nats.spoke_directory import SpokeDirectory
    from gateway.storage.storage import Storage
    from gateway.storage.streams.store import StreamStore
    from gateway.streams.service import StreamService
    from gateway.transport.tls_contexts import ServerTls
    from protocols.websocket.upgrade import Page

log = logging.getLogger("leafgate")

# Listeners where MQTT is spoken.
WITH_MQTT = ("mqtt", "websocket")
# How often expired retained messages are looked for.
SWEEP_SECONDS = 5.0
SWEPT_AT_ONCE = 1000
# What a retained message takes besides its bytes.
RETAINED_BYTES = 240
# Chunks of streams in which single messages are looked for have this part of the memory that may be used, within
# bounds (StreamStore).
LATELY_SHARE = 64
MOST_LATELY_BYTES = 128 << 20


class Gateway:
    """The parts, put together. It holds state; a Daemon runs it. `storage` is None where nothing is kept on disk."""

    def __init__(self, config: Config, storage: "Storage | None" = None) -> None:
        self.storage = storage
        self.streams: StreamStore | None = None
        self.stream_service: StreamService | None = None
        self.path: Path | None = None
        self.settings = Settings(config)
        gateway_id = storage.gateway_id if storage is not None else new_gateway_id().encode()
        self.key = make_server_key(config)
        server_id = self.key.public if self.key is not None else new_server_id()
        self.runtime = Runtime(self.settings, Names(server_id, config.server_name, gateway_id))
        self.runtime.neighbour = Neighbour() if config.pair is not None else None
        self.reader = Reader(self.runtime.switch, self.runtime.turns)
        self.registry = Registry(self.runtime, self.reader)
        self.accounts: dict[str, Account] = {}
        # Those that are not configured any more: what they hold stays for the time that they are again.
        self._retired: dict[str, Account] = {}
        self._configured: tuple[AccountRules, ...] = ()
        # What JWTs say of accounts, by their public keys.
        self.trusted_rules: dict[str, AccountRules] = {}
        self._sharing = Sharing(self.runtime, self.accounts)
        self._restored = self._serving = False
        # Answers each account what more there is to ask.
        self.offer_more: Callable[[Account], None] = nothing_more
        self.account = self.open_account(DEFAULT_ACCOUNT)
        self.trust: TrustedAccounts | None = None
        self.apply_accounts(config.accounts)
        self.trust = make_operator_trust(self)
        if self.trust is not None:  # It knows which account is the system's.
            self._share()
        self.admission = ConfiguredAdmission(
            self.settings, self.accounts, make_jwt_admission(self), partial(make_callout, self)
        )
        # Of the listeners that have it, from when their files are read.
        self.tls: dict[Listener, ServerTls] = {}
        # None where there is no MQTT. Sessions on the disk take messages while nobody may connect, too.
        mqtt = storage is not None or config.bridges or any(one.protocol in WITH_MQTT for one in config.listeners)
        self.mqtt_sessions = make_session_directory(self.runtime, storage) if mqtt else None
        self._spokes: SpokeDirectory | None = None
        self.runtime.budget.elsewhere["retained"] = self._retained_bytes
        if storage is not None:
            self.runtime.budget.elsewhere["journal"] = lambda: storage.journal.pending_bytes
        self.settings.subscribe("mqtt", self._mqtt_changed)

    def open_streams(self, config: Config) -> None:
        """Open the streams of the data directory, where there are some or are to be. Raises StorageError."""
        settings = config.streams
        if self.storage is not None and self.storage.directory is not None and self.streams is None:
            from gateway.storage.streams.schema import FILE_NAME

            wanted = bool(config.store_and_forward) or settings is not None
            if wanted or (self.storage.directory / FILE_NAME).exists():
                self.streams = self._open_stream_file(self.storage, settings)
        if settings is not None and self.stream_service is None:
            from gateway.streams.service import StreamService

            self.stream_service = StreamService(self.runtime, settings, self.streams)

    def _open_stream_file(self, storage: "Storage", settings: Streams | None) -> "StreamStore":
        from gateway.storage.streams.lately_read import MOST_BYTES
        from gateway.storage.streams.limits import NO_LIMIT
        from gateway.storage.streams.store import StreamStore, not_one

        may_wait = not_one
        if settings is not None:
            from gateway.streams.stores import is_served

            may_wait = is_served
        limits = settings or Streams()
        interval, most = limits.commit_interval_ms / 1000, limits.max_bytes or NO_LIMIT
        lately = min(max(self.runtime.budget.limit // LATELY_SHARE, MOST_BYTES), MOST_LATELY_BYTES)
        streams = StreamStore(
            storage.directory,
            storage.clock.now,
            commit_interval=interval,
            max_bytes=most,
            lately_bytes=lately,
            may_wait=may_wait,
        )
        self.runtime.budget.elsewhere["streams"] = lambda: streams.commits.pending_bytes
        storage.keep_identities(streams.identities)
        return streams

    def open_account(self, name: str) -> Account:
        """An account, with what it has on the disk."""
        account = self._retired.pop(name, None)
        if account is not None:
            self.accounts[name] = account
            return account
        account = self.accounts[name] = make_account(name, self.settings, self.storage)
        account.in_order = self.runtime.in_order.begin
        account.retained_requests = RetainedRequests(self.runtime, account)
        account.report_refusal = partial(self._report_refusal, account)
        account.rights_of = partial(self._rights_of_absent, account)
        self._limit(account)
        if self._restored:
            self._restore(account)
        if self._serving:
            self._offer_services(account)
        return account

    def open_trusted(self, public: str, rules: AccountRules) -> Account:
        """The account of a public key, from now on under these rules."""
        self.trusted_rules[public] = rules
        self._share()
        return self.accounts[public]

    async def find_account(self, name: str) -> Account | None:
        """An account by its name, opened where its JWT is there; None where there is none, or not any more."""
        if self.trust is not None and name not in (DEFAULT_ACCOUNT, self._system_account()):
            return await self.trust.load_account(name)
        return self.accounts.get(name)

    def apply_accounts(self, rules: Sequence[AccountRules]) -> None:
        """Have the accounts that these rules name, beside the default and the system's one, and what they share.

        Those that are gone part with their clients; nobody else notices anything but what was changed.
        """
        self._configured = tuple(rules)
        self._share()

    def _share(self) -> None:
        """Hold what accounts say of themselves and of each other, wherever they say it."""
        rules = (*self._configured, *self.trusted_rules.values())
        system = self._system_account()
        wanted = {DEFAULT_ACCOUNT, system, *(one.name for one in rules)}
        for name in wanted - self.accounts.keys():
            self.open_account(name)
        gone = self.accounts.keys() - wanted
        for name in gone:
            self._retired[name] = self.accounts.pop(name)
        self.accounts[system].is_system = True
        self._sharing.apply(rules)
        if gone:
            self._part_with(gone)

    def system(self) -> Account:
        """The account that hears of the gateway itself."""
        return self.accounts[self._system_account()]

    def _system_account(self) -> str:
        if self.trust is not None and self.trust.operator.system_account:
            return self.trust.operator.system_account
        return self.settings.config.authentication.system_account or SYSTEM_ACCOUNT

    def _part_with(self, gone: set[str]) -> None:
        """Close the connections whose account is gone, those of uplinks too."""
        for connection in list(self.registry.open.values()):
            if connection.session.describe().account in gone:
                connection.close(CloseReason.AUTHENTICATION_FAILURE, "its account is gone")

    def restore(self) -> None:
        """Take up what an earlier run left on the disk."""
        self._restored = True
        for account in self.accounts.values():
            self._restore(account)
        self.runtime.deadlines.call_at(trio.current_time() + SWEEP_SECONDS, self._sweep)

    def _restore(self, account: Account) -> None:
        if self.storage is not None:
            account.offer_retained()
            stored = self.storage.account(account.name)
            if self.mqtt_sessions is not None:
                self.mqtt_sessions.of(account).restore(stored.restored)
            stored.restored.clear()
            take_back(account)

    def offer_services(self) -> None:
        """Answer the gateway's own subjects from now on."""
        self._serving = True
        for account in self.accounts.values():
            self._offer_services(account)
        offer_claims(self)

    def _offer_services(self, account: Account) -> None:
        account.router.subscribe(TimeRequests(account))
        account.router.subscribe(AcknowledgedPublish(account))
        account.router.subscribe(UserRequests(self.runtime, account))
        if self.stream_service is not None and self.runtime.nursery is not None:  # While others are served already.
            self.stream_service.open_soon(account)
        self.offer_more(account)

    def ask_for_mqtt(self) -> "SessionDirectory":
        """The MQTT sessions, from now on at the latest."""
        if self.mqtt_sessions is None:
            self.mqtt_sessions = make_session_directory(self.runtime, self.storage)
        return self.mqtt_sessions

    def door(self, listener: OpenListener) -> Door:
        """The door of an open listener, not open itself."""
        protocol = listener.config.protocol
        if protocol in WITH_MQTT:
            self.ask_for_mqtt()
        makers = session_makers((protocol,), self.admission, self.mqtt_sessions, self._spoke_directory, console_pages)
        return Door(self.runtime, self.registry, listener, makers, self.tls.get(listener.config))

    def _spoke_directory(self) -> "SpokeDirectory":
        if self._spokes is None:
            from gateway.nats.spoke_directory import SpokeDirectory

            self._spokes = SpokeDirectory(self.runtime.repeats)
        return self._spokes

    def _sweep(self, now: float) -> None:
        for account in self.accounts.values():
            account.sweep(SWEPT_AT_ONCE)
        self.runtime.switch.flush()
        if self.storage is not None:
            self.storage.clock.tick()
        self.runtime.deadlines.call_at(now + SWEEP_SECONDS, self._sweep)

    def _mqtt_changed(self) -> None:
        for account in self.accounts.values():
            self._limit(account)

    def _limit(self, account: Account) -> None:
        limits = self.settings.mqtt
        account.retained.set_limits(limits.max_retained_messages, limits.max_retained_bytes)
        account.max_retained_per_client = limits.max_retained_messages_per_client or UNLIMITED
        account.max_retained_bytes_per_client = limits.max_retained_bytes_per_client or UNLIMITED

    def _retained_bytes(self) -> int:
        kept = [account.retained for account in (*self.accounts.values(), *self._retired.values())]
        return sum(one.bytes + RETAINED_BYTES * len(one) for one in kept)

    def _rights_of_absent(self, account: Account, user: str, proof: bytes) -> Permissions | None:
        return self.admission.rights_of_absent(account, user, proof)

    def _report_refusal(self, account: Account, limit: str) -> None:
        if limit == DISK_LIMIT:
            text = "event=not-stored account=%s limit=%s value=%d"
            key = ("not-stored", account.name)
            value = account.rules.max_disk_bytes
            self.runtime.repeats.log(log, logging.WARNING, key, text, account.name, limit, value)
            return
        text = "event=not-retained limit=mqtt.%s value=%d"
        value = getattr(self.settings.mqtt, limit.replace("-", "_"))
        self.runtime.repeats.log(log, logging.WARNING, ("not-retained", limit), text, limit, value)


def console_pages() -> "dict[str, Page]":
    from gateway.console.pages import load_pages

    return load_pages()


def nothing_more(account: Account) -> None:
    """Services are all that is answered."""


def make_account(name: str, settings: Settings, storage: "Storage | None") -> Account:
    if storage is None:
        retained = RetainedMessages(settings.mqtt.max_retained_messages, settings.mqtt.max_retained_bytes)
        return Account(name, retained, PublishedIds(), with_companions(Durability()))
    stored = storage.account(name)
    account = Account(name, stored.retained, stored.published_ids, with_companions(storage.journal))
    account.queued_bytes = lambda: stored.mqtt_sessions.bytes
    return account


def with_companions(first: Durability) -> JointDurability:
    """Sessions, streams beside them, and buffers beside both."""
    return JointDurability(JointDurability(first))


def make_server_key(config: Config) -> "KeyPair | None":
    """The gateway's own key, where it signs something: what it asks services. Its server id is the public part."""
    if not (config.authentication.callout or config.authentication.operator):
        return None
    from gateway.accounts import nkeys

    return nkeys.KeyPair.new(nkeys.SERVER)


def make_operator_trust(gateway: Gateway) -> "TrustedAccounts | None":
    config = gateway.settings.config.authentication
    if not config.operator:
        return None
    from gateway.accounts.operator_mode import check_link_accounts, make_trust

    trust = make_trust(config, gateway.open_trusted)
    check_link_accounts("uplinks", gateway.settings.config.uplinks, gateway.accounts)
    check_link_accounts("bridges", gateway.settings.config.bridges, gateway.accounts)
    return trust


def make_jwt_admission(gateway: Gateway) -> "JwtAdmission | None":
    trust = gateway.trust
    if trust is None:
        return None
    from gateway.accounts.callout import AccountCallout, CalloutClient
    from gateway.accounts.jwt_admission import JwtAdmission

    assert gateway.key is not None
    admission = JwtAdmission(trust)
    admission.delegate = AccountCallout(CalloutClient(gateway.runtime, gateway.key), trust, admission)
    return admission


def make_callout(gateway: Gateway) -> "ConfiguredCallout | None":
    config = gateway.settings.config.authentication.callout
    if config is None:
        return None
    from gateway.accounts.callout import CalloutClient, ConfiguredCallout

    if gateway.key is None:  # It was not wanted at the start.
        gateway.key = make_server_key(gateway.settings.config)
    assert gateway.key is not None
    client = CalloutClient(gateway.runtime, gateway.key)
    account = gateway.accounts[config.account or DEFAULT_ACCOUNT]

    def default_rules(name: str) -> PermissionRules | None:
        now = gateway.settings.config
        own = next((one.default_permissions for one in now.accounts if one.name == name), None)
        return own or now.authentication.default_permissions

    return ConfiguredCallout(client, config, account, gateway.accounts.get, default_rules)


def offer_claims(gateway: Gateway) -> None:
    """Answer requests about accounts in the system's account, where their JWTs are in a directory."""
    trust = gateway.trust
    if trust is None or trust.resolver.is_immediate:
        return
    from gateway.services.claims_requests import ClaimsRequests

    system = gateway.accounts.get(trust.operator.system_account)
    if system is not None:
        ClaimsRequests(gateway.runtime, system, trust).offer()


def make_session_directory(runtime: Runtime, storage: "Storage | None") -> "SessionDirectory":
    from gateway.mqtt.directory import SessionDirectory

    return SessionDirectory(runtime, storage)
