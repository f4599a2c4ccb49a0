"""Link group: the links of one account. Where several lead to one place, one of them serves and the others stand by.

Two links to one place would carry each message twice. They are told apart by what a hub says of itself, and where that
does not tell, by loop subjects: each link tells its hub of a subject of its own, and who hears of another link's knows
that its hub is the other one's, or is joined to it.
"""

from collections.abc import Sequence
from typing import Protocol

import trio

from protocols.leafnode.spoke import HubInfo

# What a link tells its hub has reached the hub's cluster after this long.
SPREAD_SECONDS = 1.0
# What belongs to the one hub whose JetStream is the account's.
JETSTREAM_SUBJECTS = (b"$JS.API.", b"$KV.", b"$O.", b"$OBJ.")


class Link(Protocol):
    """A link as others of its group see it."""

    @property
    def name(self) -> str: ...

    @property
    def loop_subject(self) -> bytes: ...

    @property
    def offers_jetstream(self) -> bool: ...

    @property
    def goes_first(self) -> bool:
        """Whether it serves wherever another one could: what it joins is more than the place."""

    @property
    def hub(self) -> HubInfo | None:
        """What the hub said that has confirmed the link; None while there is none, and once it gives way."""

    @property
    def confirmed_at(self) -> float: ...

    @property
    def is_up(self) -> bool: ...

    def stand_by(self, other: "Link") -> None:
        """Leave it to the other link."""

    def group_changed(self) -> None:
        """A link of the group came up or went down."""


class LinkGroup:
    """`links` are in the order of the configuration."""

    def __init__(self) -> None:
        self.links: Sequence[Link] = ()
        self._changed = trio.Event()

    def at_same_hub(self, link: Link, hub: HubInfo) -> Link | None:
        """Another link that serves the place to which this one has just come."""
        return next((one for one in self._others(link) if one.hub is not None and _is_same(one.hub, hub)), None)

    def settling_seconds(self, link: Link) -> float | None:
        """How long a link waits before it asks its hub whether that has told everything, so that it is known by then
        whether another link leads there; None where it need not ask.
        """
        others = [one.confirmed_at for one in self._others(link) if one.hub is not None]
        if not others:
            return None
        return max(0.0, max(others) + SPREAD_SECONDS - trio.current_time())

    def heard(self, link: Link, loop_subject: bytes) -> None:
        """A link's hub has told it of another link's loop subject: the younger one gives way."""
        for other in self._others(link):
            if other.loop_subject == loop_subject and other.hub is not None:
                younger, elder = (link, other) if self._is_elder(other, link) else (other, link)
                younger.stand_by(elder)
                return

    def leaves_jetstream(self, link: Link) -> bool:
        """Whether JetStream's subjects without a domain are another hub's."""
        if not link.offers_jetstream:
            return True
        return next((one for one in self.links if one.is_up and one.offers_jetstream), link) is not link

    def tell(self) -> None:
        """A link came up, went down, or is gone."""
        self._changed.set()
        self._changed = trio.Event()
        for link in self.links:
            link.group_changed()

    async def change(self) -> None:
        """Return at the next `tell`."""
        await self._changed.wait()

    def _is_elder(self, one: Link, other: Link) -> bool:
        """Never both ways: else both would give way, each for the other."""
        if one.goes_first != other.goes_first:
            return one.goes_first
        if one.confirmed_at == other.confirmed_at:
            return self.links.index(one) < self.links.index(other)
        return one.confirmed_at < other.confirmed_at

    def _others(self, link: Link) -> list[Link]:
        return [one for one in self.links if one is not link]


def _is_same(one: HubInfo, other: HubInfo) -> bool:
    """Whether two hubs are one server, or two of one cluster, in one account. Clusters of one name may be two: those of
    one cluster name each other.
    """
    if one.remote_account != other.remote_account:
        return False
    if one.server_id == other.server_id:
        return True
    shared = set(one.leafnode_urls or ()) & set(other.leafnode_urls or ())
    return bool(one.cluster) and one.cluster == other.cluster and bool(shared)
