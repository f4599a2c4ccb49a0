"""Session: what a connection asks of the protocol that is spoken over it."""

from typing import Protocol

from gateway.dataplane.port import Port
from gateway.transport.snapshot import PeerSnapshot
from protocols.close_reason import CloseReason


class Session(Protocol):
    """One peer, as its protocol has it. Every method returns at once."""

    @property
    def kind(self) -> str:
        """The protocol, for logs and monitoring."""

    @property
    def is_client(self) -> bool:
        """Whether the peer came to us; the links that the gateway itself opened serve those that did."""

    @property
    def port(self) -> Port | None:
        """The peer's place on the switch; None while it has none (a WebSocket before its upgrade)."""

    @property
    def has_more(self) -> bool:
        """Whether `receive(b"")` would go on with what came already: others have their turn in between."""

    def unfinished_bytes(self) -> int:
        """About how many bytes are kept of what has begun to come and is not complete."""

    def refuse_input(self, detail: str) -> None:
        """What is not complete takes too much of the gateway's memory: part with the peer."""

    def opened(self) -> None:
        """The connection is up; the peer has said nothing yet."""

    def receive(self, data: bytes) -> None:
        """Act on a batch of bytes from the peer, for about TURN_SECONDS; what is left then is there to go on with."""

    def closing_bytes(self, reason: CloseReason) -> bytes:
        """Wire bytes that end the stream, behind everything else (a WebSocket close frame)."""

    def closed(self, reason: CloseReason) -> None:
        """The connection has ended: give back subscriptions and deadlines. Called once."""

    def announce_lame_duck(self) -> None:
        """Tell the peer to look for another server, where its protocol has words for that."""

    def settings_changed(self) -> None:
        """Settings are others: take over those that were copied, and set deadlines anew that come from them."""

    def describe(self) -> PeerSnapshot:
        """Who the peer is."""
