"""Leafnode uplink: keeps one link to a hub up, over several URLs, with growing pauses between attempts."""

import hashlib
import logging
import random
import socket
from pathlib import Path

import trio

from gateway.accounts.account import Account
from gateway.nats.leaf_interest import RefusedInterest
from gateway.nats.leafnode import LeafnodeSession
from gateway.runtime.identity import new_token
from gateway.runtime.runtime import Runtime
from gateway.settings.addresses import ServerUrl, split_address
from gateway.settings.schema import Uplink
from gateway.transport.registry import Registry
from gateway.uplink.dropped_messages import DroppedMessages
from gateway.uplink.link_history import LinkHistory, LinkStatus
from protocols.close_reason import CloseReason
from protocols.leafnode import spoke

log = logging.getLogger("leafgate.uplink")

DEFAULT_PORT = 7422
# A hub that turned us away for a reason that time does not heal is asked again after this long.
REFUSED_PAUSE_SECONDS = 30.0
REFUSALS = ("Loop detected", "Permissions Violation", "same cluster name")
# A link that held this long was good: the next attempt comes soon again.
GOOD_LINK_SECONDS = 5.0
MACHINE_ID = Path("/etc/machine-id")
MAX_GOSSIPED_URLS = 64
# Bytes of a refused subject that are told.
LONGEST_TOLD = 256


class LeafnodeUplink:
    """One configured uplink. `loop_subject` is the subject by which we notice that links form a loop."""

    def __init__(self, runtime: Runtime, registry: Registry, account: Account, config: Uplink, number: int) -> None:
        self.account = account
        self.config = config
        self.name = leaf_name(runtime.settings.config.name, runtime.names.server_name, number)
        self._runtime = runtime
        self._registry = registry
        # The same on every link of the account: a loop may leave on one and come back on another.
        self.loop_subject = spoke.LOOP_PREFIX + runtime.names.server_id.encode()
        self.session: LeafnodeSession | None = None
        self.attempts = 0
        self.history = LinkHistory()
        self.refused = RefusedInterest()
        self.dropped = DroppedMessages(runtime.deadlines, self)
        # What the hub said in the current attempt.
        self._complaint = ""
        self._gossiped: list[ServerUrl] = []
        self.url = config.urls[0]
        self._next_url = 0
        self._up_since: float | None = None

    async def run(self) -> None:
        """Connect, serve, reconnect; ends when the gateway stops."""
        pause = self.config.reconnect_min_seconds
        while not self._runtime.stopping.is_set():
            self.url = self._take_url()
            self.attempts += 1
            self._complaint = ""
            self._up_since = None
            sock = await self._dial()
            if sock is not None:
                await self._serve(sock)
            if self._up_since is not None and trio.current_time() - self._up_since > GOOD_LINK_SECONDS:
                pause = self.config.reconnect_min_seconds
            wait = pause * random.uniform(0.5, 1.0)
            if any(refusal in self._complaint for refusal in REFUSALS):
                wait = max(wait, min(REFUSED_PAUSE_SECONDS, self.config.reconnect_max_seconds))
            with trio.move_on_after(wait):
                await self._runtime.stopping.wait()
            pause = min(pause * 2, self.config.reconnect_max_seconds)

    def connect_fields(self) -> dict[str, object]:
        """What CONNECT tells the hub. No `lang`: that is how a hub knows a client that came to the wrong port."""
        fields: dict[str, object] = {
            "version": spoke.SPOKEN_VERSION,
            "server_id": self._runtime.names.server_id,
            "name": self.name,
            "cluster": self.name,
            "headers": True,
            "jetstream": False,
            "compress_mode": "off",
            "remote_account": self.account.name,
            "protocol": 1,
        }
        if self.url.user is not None:
            fields["user"] = self.url.user
            if self.url.password is None:
                fields["auth_token"] = self.url.user
            else:
                fields["pass"] = self.url.password
        return fields

    @property
    def label(self) -> str:
        return str(self.url)

    def status(self) -> LinkStatus:
        history = self.history
        return LinkStatus(
            url=self.label,
            hub=history.hub,
            up=history.is_up,
            since=history.since,
            last_error=history.last_error,
            fault=history.fault(),
            flaps=history.flaps,
            attempts=self.attempts,
            refused_interest=len(self.refused),
            dropped_msgs=self.dropped.total,
        )

    def link_up(self, session: LeafnodeSession) -> None:
        self.session = session
        self._complaint = ""
        self._up_since = trio.current_time()
        self.history.up(session.info.server_name)
        log.info(
            "uplink=%s event=up hub=%s account=%s", self.url, session.info.server_name, session.info.remote_account
        )

    def interest_refused(self, subject: bytes) -> None:
        """Once a subject: it is not told again. The hub is about to close the link; the next attempt comes soon."""
        text = f"the hub refuses interest in {subject[:LONGEST_TOLD].decode('utf-8', 'replace')}"
        self.history.failed(text)
        log.warning("uplink=%s event=interest-refused reason=%r", self.url, text)

    def kept_back(self, reason: str) -> None:
        self.dropped.count(reason)

    def hub_error(self, text: str) -> None:
        self._complaint = text
        self.history.failed(text)
        log.error("uplink=%s event=hub-error text=%r", self.url, text)

    def learn_urls(self, addresses: tuple[str, ...]) -> None:
        """Other servers of the hub's cluster, reached with the credentials of the configured URL."""
        known = list(self.config.urls)
        gossiped: list[ServerUrl] = []
        for address in addresses[:MAX_GOSSIPED_URLS]:
            try:
                host, port = split_address(address.partition("://")[2] or address)
            except ValueError:
                continue
            url = ServerUrl(self.url.scheme, host, port or DEFAULT_PORT, self.url.user, self.url.password)
            if not any((url.host, url.port) == (other.host, other.port) for other in known + gossiped):
                gossiped.append(url)
        if addresses:
            self._gossiped = gossiped

    def _take_url(self) -> ServerUrl:
        urls = [*self.config.urls, *self._gossiped]
        url = urls[self._next_url % len(urls)]
        self._next_url = (self._next_url + 1) % len(urls)
        return url

    async def _dial(self) -> socket.socket | None:
        try:
            with trio.fail_after(self.config.dial_timeout_seconds):
                stream = await trio.open_tcp_stream(self.url.host, self.url.port)
        except (OSError, trio.TooSlowError) as error:
            reason = "no answer in time" if isinstance(error, trio.TooSlowError) else str(error)
            self.history.failed(reason)
            log.warning("uplink=%s event=dial-failed attempt=%d reason=%r", self.url, self.attempts, reason)
            return None
        descriptor = stream.socket.detach()
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        return sock

    async def _serve(self, sock: socket.socket) -> None:
        connection = self._registry.connection_over(sock)
        connection.session = LeafnodeSession(connection, self)
        connection.begin()
        self._runtime.switch.flush()
        try:
            await connection.wait_ended()
        finally:
            connection.cut(CloseReason.SERVER_SHUTDOWN)
            self.session = None
        reason = connection.close_reason or CloseReason.CLIENT_CLOSED
        if reason is CloseReason.LEAFNODE_LOOP:
            self._complaint = "Loop detected"
        self.history.down(connection.close_detail or reason.value)
        log.warning("uplink=%s event=down reason=%r detail=%r", self.url, reason.value, connection.close_detail)


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
