"""WebSocket session: the upgrade, then a NATS, MQTT or leafnode session inside the frames."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import ClassVar

from gateway.accounts.identity import Identity, Member, Refusal
from gateway.dataplane.port import Port
from gateway.runtime.deadlines import Deadline
from gateway.settings.listener import Listener
from gateway.settings.security import Cookies
from gateway.transport.browser_login import BrowserLogin
from gateway.transport.connection import Connection, expect_introduction
from gateway.transport.session import Session
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason
from protocols.errors import PeerViolation
from protocols.websocket.close_codes import close_code
from protocols.websocket.codec import WebSocketServerCodec
from protocols.websocket.control_frames import Closed
from protocols.websocket.upgrade import InnerProtocol, Page, PageAsked, Upgraded, UpgradePolicy

NO_PAGES: Mapping[str, Page] = {}
PROTOCOLS: frozenset[InnerProtocol] = frozenset(("nats", "mqtt", "leafnode"))
# Batches of small messages compress well: a message of a client may inflate to this many times the largest payload.
MESSAGE_ALLOWANCE = 8


class WebSocketSession:
    """One WebSocket; `inner` is the session of the protocol spoken in it, None before the upgrade. `speak` makes it.
    Who asks for one of the `pages` instead gets it.
    """

    is_client = True

    __slots__ = ("_codec", "_cookies", "_deadline", "_left", "_speak", "connection", "inner", "runtime")

    def __init__(
        self,
        connection: Connection,
        listener: Listener,
        speak: Mapping[str, Callable[[Connection], Session]],
        pages: Mapping[str, Page] = NO_PAGES,
    ) -> None:
        cookies = listener.cookies
        policy = UpgradePolicy(
            same_origin=listener.asks_origin,
            allowed_origins=listener.allowed_origins,
            compression=listener.compression,
            secure=listener.tls is not None,
            trusted_proxies=tuple(map(ip_network, listener.trusted_proxies)),
            cookies=frozenset(filter(None, (cookies.user, cookies.password, cookies.token, cookies.jwt)))
            if cookies is not None
            else frozenset(),
            pages=pages,
        )
        self._cookies = cookies
        self.connection = connection
        self.runtime = connection.runtime
        self.inner: Session | None = None
        self._speak = speak
        self._codec = WebSocketServerCodec(policy, PROTOCOLS, self._largest_message(), peer=connection.address[0])
        self._deadline: Deadline | None = None
        # Events that wait until the session inside has acted on what came before them.
        self._left: list[object] = []

    @property
    def kind(self) -> str:
        return f"{self.inner.kind}-websocket" if self.inner is not None else "websocket"

    @property
    def port(self) -> Port | None:
        return self.inner.port if self.inner is not None else None

    def opened(self) -> None:
        self._expect_upgrade()

    @property
    def has_more(self) -> bool:
        return self._codec.has_more or bool(self._left) or (self.inner is not None and self.inner.has_more)

    def receive(self, data: bytes) -> None:
        if self.inner is not None and self.inner.has_more:  # It comes before what the codec has.
            self.inner.receive(b"")
            return
        events, self._left = self._left or self._codec.receive(data), []
        for index, event in enumerate(events, 1):
            self.connection.outbox.write_wire(self._codec.bytes_to_send())
            self._HANDLERS[type(event)](self, event)
            if self.connection.close_reason is not None:
                return
            if self.inner is not None and self.inner.has_more:
                self._left = events[index:]
                break
        self.connection.outbox.write_wire(self._codec.bytes_to_send())

    def unfinished_bytes(self) -> int:
        return self._codec.unfinished_bytes() + (self.inner.unfinished_bytes() if self.inner is not None else 0)

    def refuse_input(self, detail: str) -> None:
        if self.inner is not None:
            self.inner.refuse_input(detail)
        else:
            farewell = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            self.connection.close(CloseReason.MAXIMUM_MEMORY_EXCEEDED, detail, farewell)

    def closing_bytes(self, reason: CloseReason) -> bytes:
        return self._codec.encode_close(close_code(reason), reason.value)

    def announce_lame_duck(self) -> None:
        if self.inner is not None:
            self.inner.announce_lame_duck()

    def settings_changed(self) -> None:
        self._codec.limit(self._largest_message())
        if self.inner is not None:
            self.inner.settings_changed()
        else:
            self._expect_upgrade()

    @property
    def identity(self) -> Identity | None:
        return self.inner.identity if isinstance(self.inner, Member) else None

    def identity_changed(self, identity: Identity) -> None:
        if isinstance(self.inner, Member):
            self.inner.identity_changed(identity)

    def identity_lost(self, refusal: Refusal) -> None:
        if isinstance(self.inner, Member):
            self.inner.identity_lost(refusal)

    def describe(self) -> PeerSnapshot:
        if self.inner is None:
            return PeerSnapshot(type="websocket")
        return replace(self.inner.describe(), type="websocket")

    def closed(self, reason: CloseReason) -> None:
        self.runtime.deadlines.cancel(self._deadline)
        if self.inner is not None:
            self.inner.closed(reason)

    def _largest_message(self) -> int:
        return self.runtime.settings.limits.max_payload_bytes * MESSAGE_ALLOWANCE

    def _on_upgraded(self, event: Upgraded) -> None:
        self.runtime.deadlines.cancel(self._deadline)
        self.connection.outbox.encode = self._codec.encode
        if event.client_ip:
            self.connection.address = (event.client_ip, self.connection.address[1])
        if self._cookies is not None and event.cookies:
            self.connection.browser_login = login_in(event.cookies, self._cookies)
        self.inner = self._speak[event.protocol](self.connection)
        self.inner.opened()

    def _on_page_asked(self, event: PageAsked) -> None:
        seconds = self.runtime.settings.timeouts.write_deadline_seconds
        self.connection.close(CloseReason.CLIENT_CLOSED, f"it had the page {event.path}", event.response, seconds)

    def _on_bytes(self, data: bytes) -> None:
        assert self.inner is not None
        self.inner.receive(data)

    def _on_closed(self, event: Closed) -> None:
        self.connection.close(CloseReason.CLIENT_CLOSED, f"close code {event.code}")

    def _on_violation(self, event: PeerViolation) -> None:
        self.connection.outbox.write_wire(event.farewell)
        self.connection.close(event.reason, event.detail)

    _HANDLERS: ClassVar[dict[type, Callable[..., None]]] = {
        PageAsked: _on_page_asked,
        Upgraded: _on_upgraded,
        bytes: _on_bytes,
        Closed: _on_closed,
        PeerViolation: _on_violation,
    }

    def _expect_upgrade(self) -> None:
        self._deadline = expect_introduction(self.connection, self._deadline, self._check_upgraded)

    def _check_upgraded(self, now: float) -> None:
        farewell = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.connection.close(CloseReason.AUTHENTICATION_TIMEOUT, "no upgrade in time", farewell)


def login_in(cookies: Mapping[str, str], names: Cookies) -> BrowserLogin:
    """What the cookies of these names say. Without a name there is no cookie."""
    return BrowserLogin(
        user=cookies.get(names.user, ""),
        password=cookies.get(names.password, ""),
        token=cookies.get(names.token, ""),
        jwt=cookies.get(names.jwt, ""),
    )
