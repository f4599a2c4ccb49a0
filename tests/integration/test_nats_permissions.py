"""What NATS users may do, byte by byte: the gateway and a real nats-server must both follow each script.

Scripts and users are in tests/vectors/nats_permissions.toml. Users are listed in the configuration, or have JWTs of an
account that say the same.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.jwt_peers import House, Key, jwt_maker
from tests.integration.peers import Peer, gateway, nats_server
from tests.integration.test_nats_transcripts import Client, play

VECTORS = tomllib.loads((Path(__file__).parents[1] / "vectors" / "nats_permissions.toml").read_text())
SCRIPTS = {script["name"]: script for script in VECTORS["scripts"]}
USERS: dict[str, dict[str, Any]] = VECTORS["users"]
PLAIN: dict[str, str] = VECTORS["plain"]
OWN: dict[str, dict[str, Any]] = VECTORS["own"]
DEFAULTS: dict[str, dict[str, Any]] = VECTORS["defaults"]
BY_DEFAULT = [name for name, script in SCRIPTS.items() if script.get("by-default")]
OF_USERS = [name for name in SCRIPTS if name not in BY_DEFAULT]
PASSWORD = "secret"
OPTIONS = {"verbose": False, "pedantic": False, "headers": True}
KINDS = ["gateway", "nats-server"]
NANOSECONDS = 1_000_000_000


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Peer]]:
    directory = tmp_path_factory.mktemp("permissions")
    with (
        nats_server(directory / "nats-server", f"authorization {{ users: {listed(USERS)} }}") as theirs,
        gateway(directory / "gateway", config="".join(tables(USERS))) as ours,
    ):
        yield {"nats-server": theirs, "gateway": ours}


@pytest.fixture(scope="module")
def servers_with_defaults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Peer]]:
    directory = tmp_path_factory.mktemp("defaults")
    houses = sorted(set(PLAIN.values()) - {""})
    users = {name: OWN.get(name, {}) for name in PLAIN}
    theirs = {house: {name: users[name] for name in users if PLAIN[name] == house} for house in ("", *houses)}
    rules = {name: json.dumps(as_nats_server(one)) for name, one in DEFAULTS.items()}
    accounts = [f"{one}: {{ default_permissions: {rules[one]}, users: {listed(theirs[one])} }}" for one in houses]
    config = f"authorization {{ default_permissions: {rules['all']}, users: {listed(theirs[''])} }}\n"
    config += f"accounts {{ {' '.join(accounts)} }}"
    ours = [f"[authentication]\ndefault-permissions = {inline(DEFAULTS['all'])}\n"]
    ours += [f'[[accounts]]\nname = "{house}"\ndefault-permissions = {inline(DEFAULTS[house])}\n' for house in houses]
    ours += tables(users, PLAIN)
    with (
        nats_server(directory / "nats-server", config) as one,
        gateway(directory / "gateway", config="".join(ours)) as other,
    ):
        yield {"nats-server": one, "gateway": other}


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Peer], dict[str, str]]]:
    """Servers of an operator, and the tokens of the users, who need not sign."""
    directory = tmp_path_factory.mktemp("trusting")
    with jwt_maker() as maker:
        house = House(maker)
        account, system = house.account("home"), house.account("SYS")
        tokens = {
            name: maker("user", name, seed=Key("U"), issuer=account, claims=as_claims(rules) | {"bearer_token": True})
            for name, rules in USERS.items()
        }
        with (
            nats_server(directory / "nats-server", house.nats_config(system.public)) as theirs,
            gateway(directory / "gateway", config=house.gateway_config()) as ours,
        ):
            yield {"nats-server": theirs, "gateway": ours}, tokens


def listed(users: Mapping[str, Mapping[str, Any]]) -> str:
    """Users as nats-server's configuration lists them."""
    return json.dumps(
        [
            {"user": name, "password": PASSWORD} | ({"permissions": as_nats_server(rules)} if rules else {})
            for name, rules in users.items()
        ]
    )


def tables(users: Mapping[str, Mapping[str, Any]], accounts: Mapping[str, str] | None = None) -> list[str]:
    """Users as the gateway's configuration lists them."""
    made = []
    for name, rules in users.items():
        made.append(f'[[users]]\nname = "{name}"\npassword = "{PASSWORD}"\n')
        if accounts is not None:
            made.append(f'account = "{accounts[name]}"\n')
        if rules:
            made.append(f"permissions = {inline(rules)}\n")
    return made


def inline(value: Any) -> str:
    """A value as TOML writes it in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {inline(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


def as_nats_server(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The rules as its configuration spells them."""
    written = {key.replace("-", "_"): value for key, value in rules.items()}
    responses = written.get("allow_responses")
    if isinstance(responses, dict):
        milliseconds = round(responses["seconds"] * 1000)
        written["allow_responses"] = {"max": responses["max"], "expires": f"{milliseconds}ms"}
    return written


def as_claims(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The rules as a user's JWT spells them."""
    claims: dict[str, Any] = {"pub": rules.get("publish", {}), "sub": rules.get("subscribe", {})}
    responses = rules.get("allow-responses")
    if responses is True:
        responses = {"max": 1, "seconds": 120}
    if responses:
        claims["resp"] = {"max": responses["max"], "ttl": round(responses["seconds"] * NANOSECONDS)}
    return claims


def steps_of(name: str, tokens: Mapping[str, str] | None = None) -> list[list[Any]]:
    """With a whole CONNECT where the script names a user."""
    steps = []
    for client, verb, *arguments in SCRIPTS[name]["steps"]:
        if verb == "connects":
            user, *fields = arguments
            login = {"user": user, "pass": PASSWORD} if tokens is None else {"jwt": tokens[user]}
            arguments = [{**OPTIONS, **login, **(fields[0] if fields else {})}]
        steps.append([client, verb, *arguments])
    return steps


@pytest.mark.parametrize("name", OF_USERS)
@pytest.mark.parametrize("kind", KINDS)
def test_script(servers: dict[str, Peer], kind: str, name: str):
    play(lambda: Client(servers[kind].address("nats")), steps_of(name), auth_required=True)


@pytest.mark.parametrize("name", OF_USERS)
@pytest.mark.parametrize("kind", KINDS)
def test_script_by_users_with_tokens(trusting: tuple[dict[str, Peer], dict[str, str]], kind: str, name: str):
    servers, tokens = trusting
    play(lambda: Client(servers[kind].address("nats")), steps_of(name, tokens), auth_required=True)


@pytest.mark.parametrize("name", BY_DEFAULT)
@pytest.mark.parametrize("kind", KINDS)
def test_script_of_rights_by_default(servers_with_defaults: dict[str, Peer], kind: str, name: str):
    play(lambda: Client(servers_with_defaults[kind].address("nats")), steps_of(name), auth_required=True)
