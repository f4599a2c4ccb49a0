"""Neighbour: the other gateway of a pair, as what sessions tell their clients of it, and who is told of links to it."""

from collections.abc import Callable
from typing import Protocol


class Hearer(Protocol):
    """A session whose client can be told of other servers while it is connected."""

    def servers_changed(self) -> None: ...


class Link(Protocol):
    """A leafnode link, of either role, that may lead to the other gateway."""

    def is_by(self, uplink: str, account: str) -> bool:
        """Whether it joins the account, and is that uplink's; of one that has come here, whether none is named."""

    def local_host(self) -> str:
        """The address that this gateway has on it."""

    def send_aside(self, data: bytes) -> None:
        """Send something that is no message of the account's, to whoever is aside at the other end."""

    def end(self, detail: str) -> None: ...


def nobody_listens(link: Link) -> "Callable[[bytes], None] | None":
    return None


def nobody_cares(link: Link) -> None:
    pass


class Neighbour:
    """`nats`, `websocket` and `mqtt` are addresses of the other gateway, while it is there; `own_nats` and
    `own_websocket` those of this one. `is_draining`: clients are sent there now.

    `joined` is called with each link that comes up, and says who takes what is sent aside over it, if anybody; `left`
    when such a link has gone.
    """

    def __init__(self) -> None:
        self.own_nats: tuple[str, ...] = ()
        self.own_websocket: tuple[str, ...] = ()
        self.nats: tuple[str, ...] = ()
        self.websocket: tuple[str, ...] = ()
        self.mqtt = b""
        self.is_draining = False
        self.hearers: set[Hearer] = set()
        self.joined: Callable[[Link], Callable[[bytes], None] | None] = nobody_listens
        self.left: Callable[[Link], None] = nobody_cares

    def servers(self, websocket: bool) -> list[str]:
        """What a client may connect to, as INFO says it; this gateway alone is not worth to be told."""
        own, other = (self.own_websocket, self.websocket) if websocket else (self.own_nats, self.nats)
        return [*(() if self.is_draining else own), *other]
