"""The keys of `[monitoring]` and `[console]`: for those who watch the gateway."""

import msgspec

from gateway.settings.addresses import split_full_address
from gateway.settings.checks import check_address
from gateway.settings.security import Tls


class Monitoring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """The HTTP end points for people and programs that watch. An empty address turns them off."""

    address: str = "127.0.0.1:8222"
    allow_anonymous: bool = False
    tls: Tls | None = None
    # Who may look; without any of them nobody is asked.
    users: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.address:
            check_address("address", self.address)

    @property
    def host(self) -> str:
        """Only when there is an address."""
        return split_full_address(self.address)[0]

    @property
    def port(self) -> int:
        """Only when there is an address."""
        return split_full_address(self.address)[1]


class Console(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """The page at /console of listeners for WebSockets, and the subjects $LEAFGATE.console.> that it asks."""

    # Who may ask, beside the users of the system account; everybody where nobody has to say who he is.
    users: tuple[str, ...] = ()
