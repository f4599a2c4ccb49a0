"""Leafnode uplink: keeps one link to a hub up, over several URLs, with growing pauses between attempts, for ever."""

import hashlib
import logging
import random
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from gateway.accounts.account import Account
from gateway.nats.leaf_interest import RefusedInterest
from gateway.nats.leafnode import loop_subject
from gateway.nats.leafnode_spoke import SpokeSession
from gateway.runtime.identity import new_token
from gateway.runtime.moments import moment
from gateway.runtime.runtime import Runtime
from gateway.settings.addresses import ServerUrl
from gateway.settings.security import UplinkTls
from gateway.settings.uplink import Uplink
from gateway.transport.connection import Connection
from gateway.transport.registry import Registry
from gateway.uplink.announcements import REMOVED, Announcements
from gateway.uplink.dialing import DialError, dial
from gateway.uplink.dropped_messages import DroppedMessages
from gateway.uplink.hub_urls import HubUrls, is_websocket
from gateway.uplink.link_group import JETSTREAM_SUBJECTS, Link, LinkGroup
from gateway.uplink.link_history import LinkHistory
from gateway.uplink.link_line import LinkLine
from gateway.uplink.link_stack import stack_sessions
from gateway.uplink.status import LinkStatus
from protocols.close_reason import CloseReason
from protocols.leafnode import spoke

if TYPE_CHECKING:
    from gateway.transport.tls_contexts import ClientTerms
    from gateway.uplink.hub_login import HubKey

log = logging.getLogger("leafgate.uplink")

# A hub that turned us away for a reason that time does not heal is asked again after this long.
REFUSED_PAUSE_SECONDS = 30.0
DUPLICATE = "Duplicate Remote LeafNode Connection"
TWINS = (
    "uplink=%s event=duplicate-name name=%s hint='another gateway comes to the hub by the same name, and each throws "
    "the other off: give every box a `name`, or an /etc/machine-id, of its own'"
)
REFUSALS = ("Loop detected", "Permissions Violation", "same cluster name", DUPLICATE)
# A link that held this long was good: the next attempt comes soon again.
GOOD_LINK_SECONDS = 5.0
# What another link serves may be two places by now: a link that stands by looks again after this long.
STANDBY_SECONDS = 300.0
# The other gateway of a pair lives on when it loses its own hub.
BESIDE_PAIR_SECONDS = 30.0
# Steps of the greeting, each of which may take its time; what takes longer hangs.
GREETING_STEPS = 5
MACHINE_ID = Path("/etc/machine-id")
# Bytes of a refused subject that are told.
LONGEST_TOLD = 256

FindAccount = Callable[[], Awaitable[Account | None]]


class LeafnodeUplink:
    """One configured uplink, in a group of those that join the same account. `find_account` finds that account anew at
    each attempt, where it is not known yet or may be gone; `line` is for who sends to the hub alone.
    """

    def __init__(
        self,
        runtime: Runtime,
        registry: Registry,
        account: Account | None,
        config: Uplink,
        number: int,
        group: LinkGroup | None = None,
        find_account: FindAccount | None = None,
    ) -> None:
        self.config = config
        # No other uplink of the gateway has it.
        self.number = number
        self.name = config.name or str(number + 1)
        self.leaf_name = leaf_name(runtime.settings.config.name, runtime.names.server_name, number)
        self._account = account
        self._find_account = find_account
        self._runtime = runtime
        self._registry = registry
        self._group = group or LinkGroup()
        self._key: HubKey | None = None
        self._announcements = Announcements(runtime.names.server_name)
        self.urls = HubUrls(config)
        self.session: SpokeSession | None = None
        self.attempts = 0
        self.history = LinkHistory()
        self.refused = RefusedInterest()
        self.dropped = DroppedMessages(runtime.deadlines, self, log, "uplink")
        self.line = LinkLine(runtime)
        # What the hub said in the current attempt, and what it said of itself once it took us.
        self._complaint = ""
        self.hub: spoke.HubInfo | None = None
        self.confirmed_at = 0.0
        self._stands_by_for: Link | None = None
        self._attempted: SpokeSession | None = None
        self._up_since: float | None = None
        self._greeted = trio.Event()
        self._life = trio.CancelScope()

    async def run(self) -> None:
        """Connect, serve, reconnect; ends when the gateway stops, or with `end`."""
        # Said once, for who looks why a link takes so many bytes.
        log.info("uplink=%s event=begun urls=%d compression=off", self.label, len(self.config.urls))
        with self._life:
            await self._keep_up()

    def end(self) -> None:
        """The link is not wanted any more: what is queued for the hub is sent as far as it takes it at once."""
        if self.session is not None:
            self.session.connection.close(CloseReason.CLIENT_CLOSED)
        self._life.cancel()
        self._gone()
        if self._account is not None:
            self._announcements.tell(self._account, self.status(), REMOVED)
            self._runtime.switch.flush()
        log.info("uplink=%s event=removed", self.label)

    def lose_account(self) -> None:
        """Its account is gone: the link ends until it is there again."""
        if self._attempted is not None:
            self._attempted.connection.close(CloseReason.AUTHENTICATION_FAILURE, "its account is gone")

    async def _keep_up(self) -> None:
        pause = self.config.reconnect_min_seconds
        while not self._runtime.stopping.is_set():
            self.urls.take()
            self.attempts += 1
            self._complaint = ""
            self._up_since = None
            self._stands_by_for = None
            self._greeted = trio.Event()
            try:
                await self._attempt()
            except Exception:
                # Whatever it was: a link that is given up would be noticed by nobody.
                self.history.failed("an error in the gateway itself; its log tells more")
                log.exception("uplink=%s event=failed attempt=%d", self.label, self.attempts)
            self._gone()
            if self._stands_by_for is not None:
                await self._stand_by(self._stands_by_for)
                pause = self.config.reconnect_min_seconds
                continue
            self._announce()
            if self._up_since is not None and trio.current_time() - self._up_since > GOOD_LINK_SECONDS:
                pause = self.config.reconnect_min_seconds
            wait = pause * random.uniform(0.5, 1.0)
            if any(refusal in self._complaint for refusal in REFUSALS):
                wait = max(wait, min(REFUSED_PAUSE_SECONDS, self.config.reconnect_max_seconds))
            with trio.move_on_after(wait):
                await self._runtime.stopping.wait()
            pause = min(pause * 2, self.config.reconnect_max_seconds)

    async def _attempt(self) -> None:
        if self._find_account is not None:
            self._account = await self._find_account()
        if self._account is None:
            self._failed("no-account", f"there is no JWT of account {self.config.account}")
        elif await self._read_login():
            config = self.config
            try:
                silence = config.ping_interval_seconds * config.ping_max
                sock = await dial(self.url, config.proxy, config.dial_timeout_seconds, silence)
            except DialError as error:
                self._failed("dial-failed", str(error))
            else:
                await self._serve(sock)

    async def _serve(self, sock: socket.socket) -> None:
        connection = self._registry.connection_over(sock)
        session = self._attempted = SpokeSession(connection, self)
        complaint = await stack_sessions(connection, session, self)
        if complaint:
            sock.close()
            self._failed("dial-failed", complaint)
            return
        connection.begin()
        self._runtime.switch.flush()
        try:
            with trio.move_on_after(self.config.handshake_timeout_seconds * GREETING_STEPS) as patience:
                await self._wait_greeted(connection)
            if patience.cancelled_caught:
                connection.cut(CloseReason.AUTHENTICATION_TIMEOUT, "the greeting took too long")
            await connection.wait_ended()
        finally:
            connection.cut(CloseReason.SERVER_SHUTDOWN)
        reason = connection.close_reason or CloseReason.CLIENT_CLOSED
        if reason is CloseReason.LEAFNODE_LOOP:
            self._complaint = "Loop detected"
        if self._stands_by_for is None:
            self.history.down(" ".join(filter(None, (reason.value, connection.close_detail))))
        log.warning("uplink=%s event=down reason=%r detail=%r", self.label, reason.value, connection.close_detail)

    async def _wait_greeted(self, connection: Connection) -> None:
        """Return once the link is up, or the connection has ended before."""

        async def wait_ended() -> None:
            await connection.wait_ended()
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_ended)
            await self._greeted.wait()
            nursery.cancel_scope.cancel()

    async def _stand_by(self, other: Link) -> None:
        """Wait until the other link serves no more; it is looked again now and then."""
        self.history.stand_by(other.name)
        self._announce()
        log.info("uplink=%s event=standby for=%s", self.label, other.name)
        with trio.move_on_after(BESIDE_PAIR_SECONDS if other.goes_first else STANDBY_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_at_stop, nursery.cancel_scope)
                while other.is_up:
                    await self._group.change()
                nursery.cancel_scope.cancel()

    async def _end_at_stop(self, scope: trio.CancelScope) -> None:
        await self._runtime.stopping.wait()
        scope.cancel()

    def _gone(self) -> None:
        """There is no link any more."""
        was_up = self.session is not None
        self.session = self.hub = self._attempted = None
        if was_up:
            self.line.down()
        self._group.tell()

    def _announce(self) -> None:
        if self._account is not None:
            self._announcements.tell(self._account, self.status())
            self._runtime.switch.flush()

    def _failed(self, event: str, reason: str) -> None:
        self.history.failed(reason)
        log.warning("uplink=%s event=%s attempt=%d reason=%r", self.label, event, self.attempts, reason)

    # What others are told of the link.

    @property
    def url(self) -> ServerUrl:
        return self.urls.current

    @property
    def label(self) -> str:
        return str(self.url)

    def status(self) -> LinkStatus:
        history = self.history
        return LinkStatus(
            name=self.name,
            account=self._account.name if self._account is not None else self.config.account,
            url=self.label,
            hub=history.hub,
            up=history.is_up,
            state=history.state,
            standing_by_for=history.standing_by_for,
            since=moment(history.since),
            last_error=history.last_error,
            fault=history.fault(),
            flaps=history.flaps,
            attempts=self.attempts,
            refused_interest=len(self.refused),
            dropped_msgs=self.dropped.total,
        )

    # What the links of a group see of each other (gateway.uplink.link_group.Link).

    @property
    def is_up(self) -> bool:
        return self.session is not None

    @property
    def offers_jetstream(self) -> bool:
        return self.config.jetstream

    @property
    def goes_first(self) -> bool:
        pair = self._runtime.settings.config.pair
        return pair is not None and bool(pair.uplink) and pair.uplink == self.config.name

    def stand_by(self, other: Link) -> None:
        if self._stands_by_for is None and self._attempted is not None:
            self._stands_by_for = other
            self.hub = None
            self._attempted.stand_by(f"uplink {other.name} serves the same place")

    def group_changed(self) -> None:
        if self.session is not None:
            self.session.reconsider()

    # What a session asks and tells (gateway.nats.leafnode_spoke.LinkOwner).

    @property
    def account(self) -> Account:
        """Only while there is a session."""
        assert self._account is not None
        return self._account

    @property
    def loop_subject(self) -> bytes:
        return b"%b-%d" % (loop_subject(self._runtime.names, self.account), self.number + 1)

    def connect_fields(self, nonce: str) -> dict[str, object]:
        """What CONNECT tells the hub. No `lang`: that is how a hub knows a client that came to the wrong port."""
        from gateway.uplink.hub_login import login_fields

        config = self.config
        fields: dict[str, object] = {
            "version": spoke.SPOKEN_VERSION,
            "server_id": self._runtime.names.server_id,
            "name": self.leaf_name,
            "cluster": self.leaf_name,
            "headers": True,
            "jetstream": False,
            "compress_mode": "off",
            "remote_account": self.account.name,
            "protocol": 1,
        }
        if config.deny_imports:
            fields["deny_pub"] = list(config.deny_imports)
        if config.isolate:
            fields["isolate"] = True
        return fields | login_fields(config, self.url, self._key, nonce)

    @property
    def upgrades(self) -> bool:
        return not is_websocket(self.url)

    @property
    def wants_tls(self) -> bool:
        return self.config.tls is not None or self.url.scheme in ("tls", "wss")

    async def tls_terms(self) -> "ClientTerms | str":
        return await trio.to_thread.run_sync(self._make_terms)

    def _make_terms(self) -> "ClientTerms | str":
        """From the files as they are now."""
        from gateway.transport.tls_contexts import ClientTerms

        config = self.config
        try:
            return ClientTerms(config.tls or UplinkTls(), self.urls.certified_host(), config.handshake_timeout_seconds)
        except ValueError as error:
            return str(error)

    def learn_urls(self, info: spoke.HubInfo) -> None:
        self.urls.learn((info.ws_connect_urls if is_websocket(self.url) else info.leafnode_urls) or ())

    def confirmed(self, session: SpokeSession) -> float | None:
        other = self._group.at_same_hub(self, session.info)
        if other is not None:
            self.stand_by(other)
            return None
        self.hub = session.info
        self.confirmed_at = trio.current_time()
        return self._group.settling_seconds(self)

    def loop_heard(self, subject: bytes) -> None:
        self._group.heard(self, subject)

    def is_elsewhere(self, subject: bytes) -> bool:
        if not subject.startswith(JETSTREAM_SUBJECTS):
            return False
        return self.account.has_streams or self._group.leaves_jetstream(self)

    def is_stored(self, subject: bytes) -> bool:
        return self.line.covers(subject)

    def link_up(self, session: SpokeSession) -> None:
        self.session = session
        self._complaint = ""
        self._up_since = trio.current_time()
        info = session.info
        self.history.up(info.server_name)
        log.info("uplink=%s event=up hub=%s account=%s", self.label, info.server_name, info.remote_account)
        self._greeted.set()
        self._group.tell()
        self.line.up(session)
        self._announce()

    def interest_refused(self, subject: bytes) -> None:
        """Once a subject: it is not told again. The hub is about to close the link; the next attempt comes soon."""
        text = f"the hub refuses interest in {subject[:LONGEST_TOLD].decode('utf-8', 'replace')}"
        self.history.failed(text)
        log.warning("uplink=%s event=interest-refused reason=%r", self.label, text)

    def kept_back(self, reason: str) -> None:
        self.dropped.count(reason)

    def hub_error(self, text: str) -> None:
        self._complaint = text
        self.history.failed(text)
        if text.startswith(DUPLICATE):
            repeats = self._runtime.repeats
            repeats.log(log, logging.ERROR, ("duplicate", self.leaf_name), TWINS, self.label, self.leaf_name)
        else:
            log.error("uplink=%s event=hub-error text=%r", self.label, text)

    async def _read_login(self) -> bool:
        """Read anew what the hub is to be shown."""
        if not self.config.credentials and self.config.nkey is None:
            return True
        from gateway.uplink.hub_login import HubLoginError, read_key

        try:
            self._key = await trio.to_thread.run_sync(read_key, self.config)
        except HubLoginError as error:
            self.history.failed(str(error))
            log.error("uplink=%s event=no-credentials attempt=%d reason=%r", self.label, self.attempts, str(error))
            return False
        return True


def leaf_name(configured: str, server_name: str, number: int) -> str:
    """A name that no other gateway has: two of the same name throw each other off the hub.

    Without a configured name the machine's id makes it unique, for cards are cloned with their host name.
    """
    name = configured
    if not name:
        try:
            machine = MACHINE_ID.read_bytes()
        except OSError:
            machine = new_token().encode()
        name = f"{server_name}-{hashlib.sha256(machine).hexdigest()[:8]}"
    return name.replace(" ", "-") if number == 0 else f"{name.replace(' ', '-')}-{number + 1}"
