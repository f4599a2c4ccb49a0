"""Gateways that are locked in every way, inside TLS, and what one may show there: what opens, and what does not."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.command.certificates import make_client
from tests.integration.certificates import Site, expired, listener
from tests.integration.jwt_peers import House, Key, jwt_maker, soon
from tests.integration.peers import Peer, gateway

PASSWORD = "through-the-looking-glass"
TOKEN = "a-token-that-is-long"
WRONG = "not-the-right-one"
PROTOCOLS = ("nats", "mqtt", "websocket")


@dataclass(frozen=True)
class Login:
    """What a client shows at a door of this lock, and as whom it comes in; None where it does not.

    `user` is None where it names none, `certificate` is the name of its own in the site, `trusted` whether it knows the
    authority of the server.
    """

    lock: str
    who: str | None
    user: str | None = None
    password: str = ""
    token: str = ""
    seed: str = ""
    credentials: str = ""
    bearer: str = ""
    certificate: str = ""
    trusted: bool = True

    def secrets(self) -> list[str]:
        """What nobody may repeat."""
        jwt = [line for line in self.credentials.splitlines() if line.startswith(("eyJ", "SU"))]
        return [one for one in (self.password, self.token, self.seed, self.bearer, *jwt) if one]


# What everybody knows how to show, and what NATS clients and MQTT clients do beside it.
EVERYBODYS = (
    "password",
    "wrong password",
    "unknown user",
    "nothing",
    "certificate",
    "no certificate",
    "certificate of another authority",
    "certificate that has ended",
    "certificate of nobody",
    "server of an unknown authority",
)
NATS_LOGINS = (
    *EVERYBODYS,
    "token",
    "wrong token",
    "nkey",
    "another's nkey",
    "credentials",
    "credentials that have ended",
    "credentials that are revoked",
    "credentials of a stranger",
    "credentials with another's seed",
)
MQTT_LOGINS = (
    *EVERYBODYS,
    "token as password",
    "wrong token as password",
    "bearer token",
    "bearer token that has ended",
    "bearer token of a stranger",
    "token of a user who has to sign",
)


class LockedDoors:
    """`users` know a password, a token or a key, `certificates` say who somebody is, `operator` vouches by JWTs."""

    def __init__(self, site: Site, other: Site, doors: dict[str, Peer], logins: dict[str, Login]) -> None:
        self.site = site
        self.other = other
        self.doors = doors
        self._logins = logins

    def login(self, name: str) -> Login:
        return self._logins[name]

    def door(self, login: Login) -> Peer:
        return self.doors[login.lock]

    def authority(self, login: Login) -> str:
        """The file of the authority that a client trusts."""
        return (self.site if login.trusted else self.other).path("ca.pem")

    def certificate(self, login: Login) -> tuple[str, str] | None:
        """The files of certificate and key that a client shows, if it does."""
        if not login.certificate:
            return None
        site = self.other if login.certificate == "stranger" else self.site
        return site.path(f"{login.certificate}.pem"), site.path(f"{login.certificate}.key")

    def check_secrets(self, login: Login, told: str) -> None:
        """Neither what the client was told nor the log repeats a secret."""
        for secret in login.secrets():
            assert secret not in told
            assert secret not in self.door(login).log()


@contextmanager
def locked_doors(directory: Path) -> Iterator[LockedDoors]:
    site, other = Site(directory / "site"), Site(directory / "other")
    for name in ("ended", "nobody"):
        make_client(site.directory, name)
    expired(site.directory, "ended")
    make_client(other.directory, "stranger")
    robot = Key("U")
    doors = "".join(listener(one, site.tls()) for one in PROTOCOLS)
    users = f"""
[authentication]
token = "{TOKEN}"
[[users]]
name = "anna"
password = "{PASSWORD}"
[[users]]
nkey = "{robot.public}"
"""
    mapped = '[[users]]\nname = "sensor1"\n' + "".join(listener(one, site.tls("map")) for one in PROTOCOLS)
    with jwt_maker() as maker, ExitStack() as running:
        house = House(maker)
        logins, operator = _logins(house, robot)

        def run(lock: str, config: str) -> Peer:
            return running.enter_context(gateway(directory / lock, protocols=(), config=config))

        configs = {"users": users + doors, "map": mapped, "operator": operator + doors}
        yield LockedDoors(site, other, {lock: run(lock, config) for lock, config in configs.items()}, logins)


@contextmanager
def loose_ends() -> Iterator[None]:
    """Clients that do not like their server leave sockets open; they are closed here, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def _logins(house: House, robot: Key) -> tuple[dict[str, Login], str]:
    """All logins, and the configuration of a gateway that trusts the operator."""
    ann, gone = Key("U"), Key("U")
    account = house.account("home", revocations={gone.public: soon(600)})

    def user(key: Key, seed: Key | None = None, issuer: Key = account, seconds: int = 600) -> str:
        token = house.make("user", "ann", seed=key, issuer=issuer, exp=soon(seconds))
        return house.make.credentials(token, seed or key)

    def bearer(issuer: Key = account, seconds: int = 600, is_bearer: bool = True) -> str:
        return house.make("user", "ann", seed=ann, issuer=issuer, exp=soon(seconds), claims={"bearer_token": is_bearer})

    logins = {
        "password": Login("users", "anna", user="anna", password=PASSWORD),
        "wrong password": Login("users", None, user="anna", password=WRONG),
        "unknown user": Login("users", None, user="alice", password=PASSWORD),
        "nothing": Login("users", None),
        "token": Login("users", "", token=TOKEN),
        "wrong token": Login("users", None, token=WRONG),
        "nkey": Login("users", robot.public, seed=robot.seed),
        "another's nkey": Login("users", None, seed=Key("U").seed),
        "credentials": Login("operator", ann.public, credentials=user(ann)),
        "credentials that have ended": Login("operator", None, credentials=user(ann, seconds=-5)),
        "credentials that are revoked": Login("operator", None, credentials=user(gone)),
        "credentials of a stranger": Login("operator", None, credentials=user(ann, issuer=Key("A"))),
        "credentials with another's seed": Login("operator", None, credentials=user(ann, seed=Key("U"))),
        "certificate": Login("map", "sensor1", certificate="sensor1"),
        "no certificate": Login("map", None),
        "certificate of another authority": Login("map", None, certificate="stranger"),
        "certificate that has ended": Login("map", None, certificate="ended"),
        "certificate of nobody": Login("map", None, certificate="nobody"),
        "server of an unknown authority": Login("users", None, user="anna", password=PASSWORD, trusted=False),
        "token as password": Login("users", "", user="", password=TOKEN),
        "wrong token as password": Login("users", None, user="", password=WRONG),
        "bearer token": Login("operator", ann.public, user="any", bearer=bearer()),
        "bearer token that has ended": Login("operator", None, user="any", bearer=bearer(seconds=-5)),
        "bearer token of a stranger": Login("operator", None, user="any", bearer=bearer(issuer=Key("A"))),
        "token of a user who has to sign": Login("operator", None, user="any", bearer=bearer(is_bearer=False)),
    }
    return logins, house.gateway_config() + "\n"
