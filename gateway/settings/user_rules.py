"""Rules between users and the places that name them: who is there, and may come so. Each raises KeyedValueError."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gateway.settings.account_names import AccountNames
from gateway.settings.checks import check_unique
from gateway.settings.file import KeyedValueError
from gateway.settings.listener import Listener
from gateway.settings.security import ConnectionType, User


class Place(NamedTuple):
    """A key that names a user, or an NKey; empty: nobody. Whoever it is comes in one of these `ways`; none: it is no
    place where one comes in.
    """

    key: str
    user: str
    ways: tuple[ConnectionType, ...] = ()


def check_users(users: Sequence[User], accounts: AccountNames, needs_no_secret: Callable[[User], bool]) -> None:
    """Each has a name and a key of its own, is of an account that is there, and can come in."""
    names: dict[str, str] = {}
    keys: dict[str, str] = {}
    for index, user in enumerate(users):
        place = f"users[{index}]"
        check_unique(names, user.name, f"{place}.name")
        check_unique(keys, user.nkey, f"{place}.nkey")
        if user.account not in accounts.all:
            raise KeyedValueError(f"{place}.account", f"there is no account {user.account}")
        if not (user.password or user.scram or user.nkey or needs_no_secret(user)):
            sentence = "nobody could come in as this user: give it a password or an nkey"
            raise KeyedValueError(f"{place}.password", sentence)


def check_places(places: Iterable[Place], users: Sequence[User]) -> None:
    """Whoever is named for a place is there, and may come there."""
    known = {user.name: user for user in users} | {user.nkey: user for user in users if user.nkey}
    for place in places:
        if not place.user:
            continue
        if place.user not in known:
            raise KeyedValueError(place.key, f"there is no user {place.user}")
        _check_way(place, known[place.user])


def _check_way(place: Place, user: User) -> None:
    if place.ways and user.connection_types and not set(place.ways) & set(user.connection_types):
        sentence = f"the connection-types of {place.user} have not {' or '.join(place.ways)}, so it cannot come here"
        raise KeyedValueError(place.key, sentence)
    if user.addresses and place.ways == ("serial",):
        raise KeyedValueError(
            place.key, f"{place.user} has addresses, and a serial port has none, so it cannot come here"
        )


def check_login(place: str, listener: Listener, no_auth_user: str) -> None:
    """Where users are configured, peers of a listener can say who they are, and none is let in as anybody."""
    if listener.protocol == "fluent" and not no_auth_user and listener.fluent.shared_key is None:
        # They say it in a handshake, which begins with a key that both ends share.
        sentence = "users are configured: give those who bring events a shared-key, or name a no-auth-user for them"
        raise KeyedValueError(f"{place}.fluent.shared-key", sentence)
    if listener.allow_anonymous:
        sentence = "users are configured, so nobody is anonymous; no-auth-user names who may come without a login"
        raise KeyedValueError(f"{place}.allow-anonymous", sentence)
