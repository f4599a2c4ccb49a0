"""Attempts: logins that failed, and how long the next ones wait, so that nobody guesses passwords fast.

An address, and the name of a user, may fail a few times; then further attempts get a time each, further and further
apart, and those whose time is too far off are refused unseen. As many as may fail are looked at at the same time: who
sends hundreds at once learns no more. Who came in from an address lately is counted apart from both: guessing by others
keeps nobody out who knows his password.
"""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

import trio

# So many failures cost nothing: people mistype, and devices come back with what was changed meanwhile.
FREE_FAILURES = 10
FIRST_INTERVAL_SECONDS = 0.25
LONGEST_INTERVAL_SECONDS = 8.0
# Who would have to wait longer is refused; it is shorter than the time to say who one is.
PATIENCE_SECONDS = 1.0
FORGIVEN_AFTER_SECONDS = 900.0
MOST_REMEMBERED = 10_000
# Attempts that wait for others to be over.
MOST_WAITING = 1024
LONGEST_NAME = 128
# An end site has at least so much of IPv6, and any of its addresses.
SITE_BITS = 64

Key = tuple[str, str]


class Failures:
    """Of one key: how many, when the last one was, and when the next attempt may be."""

    __slots__ = ("count", "last", "next_at")

    def __init__(self, now: float) -> None:
        self.count = 0
        self.last = self.next_at = now


class Attempts:
    """Counts by address and by user. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = trio.current_time) -> None:
        self._clock = clock
        self._failures: dict[Key, Failures] = {}
        # Attempts that are being looked at, and how many wait until one of those is over.
        self._under_way: dict[Key, int] = {}
        self._waiting = 0
        self._over = trio.Event()
        # Who came in from where, oldest first.
        self._welcome: dict[Key, None] = {}

    def wait(self, address: str, user: str) -> float | None:
        """How many seconds an attempt has to wait before it is looked at; None where it is to be refused."""
        now = self._clock()
        found = [one for key in self._keys(address, user) if (one := self._known(key, now)) is not None]
        slowed = [one for one in found if one.count >= FREE_FAILURES]
        if not slowed:
            return 0.0
        when = max(now, *(one.next_at for one in slowed))
        if when - now > PATIENCE_SECONDS:
            return None
        for one in slowed:
            one.next_at = when + interval(one.count)
        return when - now

    def are_crowded(self, address: str, user: str) -> bool:
        """Whether as many as may still fail are being looked at already."""
        now = self._clock()
        for key in self._keys(address, user):
            under_way = self._under_way.get(key, 0)
            if under_way:
                failures = self._known(key, now)
                if under_way + (failures.count if failures is not None else 0) >= FREE_FAILURES:
                    return True
        return False

    async def place(self, address: str, user: str) -> bool:
        """Return once there are fewer; False, at once, where too many wait for that."""
        if self._waiting >= MOST_WAITING:
            return False
        self._waiting += 1
        try:
            while self.are_crowded(address, user):
                await self._over.wait()
        finally:
            self._waiting -= 1
        return True

    def begin(self, address: str, user: str) -> list[Key]:
        """An attempt is being looked at from now on, until what is returned is handed to `end`."""
        keys = self._keys(address, user)
        for key in keys:
            self._under_way[key] = self._under_way.get(key, 0) + 1
        return keys

    def end(self, keys: list[Key]) -> None:
        for key in keys:
            left = self._under_way.pop(key) - 1
            if left:
                self._under_way[key] = left
        self._over.set()
        self._over = trio.Event()

    def failed(self, address: str, user: str) -> None:
        now = self._clock()
        for key in self._keys(address, user):
            failures = self._known(key, now) or Failures(now)
            failures.count += 1
            failures.last = now
            self._failures.pop(key, None)
            self._failures[key] = failures
            if failures.count >= FREE_FAILURES:
                self._welcome.pop(key, None)
        while len(self._failures) > MOST_REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, address: str, user: str) -> None:
        """All is forgiven: the address, the user, and the one at the other."""
        site = site_of(address)
        pair = (site, name_of(user))
        for key in (("address", site), ("user", name_of(user)), pair):
            self._failures.pop(key, None)
        self._welcome.pop(pair, None)
        self._welcome[pair] = None
        if len(self._welcome) > MOST_REMEMBERED:
            del self._welcome[next(iter(self._welcome))]

    def _keys(self, address: str, user: str) -> list[Key]:
        site, name = site_of(address), name_of(user)
        if (site, name) in self._welcome:
            return [(site, name)]
        return [("address", site), ("user", name)] if user else [("address", site)]

    def _known(self, key: Key, now: float) -> Failures | None:
        failures = self._failures.get(key)
        if failures is not None and now - failures.last > FORGIVEN_AFTER_SECONDS:
            del self._failures[key]
            return None
        return failures


def interval(failures: int) -> float:
    """Seconds between two attempts of somebody who has failed so often."""
    doublings = min(failures - FREE_FAILURES, 16)
    return min(FIRST_INTERVAL_SECONDS * (1 << doublings), LONGEST_INTERVAL_SECONDS)


def site_of(address: str) -> str:
    """The address, or the network of it that one holder has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> (128 - SITE_BITS) << (128 - SITE_BITS)))


def name_of(user: str) -> str:
    return user[:LONGEST_NAME]
