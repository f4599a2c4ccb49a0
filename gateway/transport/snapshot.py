"""What a session tells of its peer, for whoever watches: plain values, taken at one moment."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SubscriptionSnapshot:
    """One subscription of a connection. `maximum` is the count of an auto-unsubscribe, or 0."""

    subject: str
    sid: str
    queue: str = ""
    msgs: int = 0
    maximum: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSnapshot:
    """What there is to tell of a leafnode link beside. `is_spoke`: the spoke is this gateway."""

    is_spoke: bool
    is_isolated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSnapshot:
    """Who a peer is; `user` is whom it was admitted as. `rtt` is in seconds, None where it was not measured.

    `list_subscriptions` is called only when the list is asked for, while the peer is there. `link` is there for a
    leafnode.
    """

    type: Literal["nats", "mqtt", "websocket", "fluent"]
    account: str = ""
    user: str = ""
    name: str = ""
    lang: str = ""
    version: str = ""
    mqtt_client: str = ""
    rtt: float | None = None
    subscriptions: int = 0
    list_subscriptions: Callable[[], Iterable[SubscriptionSnapshot]] = tuple
    link: LinkSnapshot | None = None
