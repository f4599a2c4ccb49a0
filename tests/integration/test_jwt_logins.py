"""Logins with JWTs: what is let in and what is refused, by nats-server and by the gateway, with the same tokens."""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.jwt_peers import UNLIMITED, House, Key, Maker, jwt_maker, log_in, soon
from tests.integration.peers import Peer, gateway, nats_server, require_peer
from tests.patience import PATIENCE_SECONDS

REFUSED = "-ERR 'Authorization Violation'"
IN = "PONG"


@dataclass
class Login:
    """A token, who signs the challenge, and what is to come of it."""

    token: str
    key: Key | None
    expected: str
    more: dict[str, Any]


Case = Callable[[House, Key], Login]
CASES: dict[str, Case] = {}


def case(make: Case) -> Case:
    CASES[make.__name__] = make
    return make


def user_of(house: House, account: Key, name: str = "ann", **more: Any) -> tuple[str, Key]:
    key = Key("U")
    return house.make("user", name, seed=key, issuer=account, **more), key


def login(made: tuple[str, Key], expected: str, **more: Any) -> Login:
    return Login(*made, expected, more)


@case
def a_user_of_an_account(house: House, account: Key) -> Login:
    return login(user_of(house, account), IN)


@case
def a_token_of_the_first_version(house: House, account: Key) -> Login:
    return login(user_of(house, account, v1=True), IN)


@case
def a_challenge_signed_by_another_key(house: House, account: Key) -> Login:
    token, _ = user_of(house, account)
    return Login(token, Key("U"), REFUSED, {})


@case
def a_challenge_of_another_connection(house: House, account: Key) -> Login:
    return login(user_of(house, account), REFUSED, nonce=b"AAAAAAAAAAAAAAA")


@case
def no_signature(house: House, account: Key) -> Login:
    token, _ = user_of(house, account)
    return Login(token, None, REFUSED, {})


@case
def a_bearer_token(house: House, account: Key) -> Login:
    token, _ = user_of(house, account, claims={"bearer_token": True})
    return Login(token, None, IN, {})


@case
def a_bearer_token_where_the_account_takes_none(house: House, account: Key) -> Login:
    strict = house.account("strict", limits=UNLIMITED | {"disallow_bearer": True})
    token, _ = user_of(house, strict, claims={"bearer_token": True})
    return Login(token, None, REFUSED, {})


@case
def an_expired_token(house: House, account: Key) -> Login:
    return login(user_of(house, account, exp=soon(-5)), REFUSED)


@case
def a_token_that_ends_later(house: House, account: Key) -> Login:
    return login(user_of(house, account, exp=soon(3600)), IN)


@case
def a_token_of_the_future(house: House, account: Key) -> Login:
    return login(user_of(house, account, nbf=soon(3600)), REFUSED)


@case
def a_token_that_has_begun(house: House, account: Key) -> Login:
    return login(user_of(house, account, nbf=soon(-5)), IN)


@case
def a_user_of_an_account_that_nobody_knows(house: House, account: Key) -> Login:
    return login(user_of(house, Key("A")), REFUSED)


@case
def an_account_that_another_operator_signed(house: House, account: Key) -> Login:
    return login(user_of(house, house.account("foreign", signer=Key("O"))), REFUSED)


@case
def an_account_that_signed_itself(house: House, account: Key) -> Login:
    key = Key("A")
    return login(user_of(house, house.account("vain", signer=key, key=key)), REFUSED)


@case
def an_account_that_the_operator_s_signing_key_signed(house: House, account: Key) -> Login:
    return login(user_of(house, house.account("second", signer=SIGNING)), IN)


@case
def a_signing_key_of_the_account(house: House, account: Key) -> Login:
    signer = Key("A")
    wide = house.account("wide", signing_keys=[signer.public])
    return login(user_of(house, wide, signer=signer), IN)


@case
def a_signing_key_of_another_account(house: House, account: Key) -> Login:
    signer = Key("A")
    house.account("wide", signing_keys=[signer.public])
    return login(user_of(house, account, signer=signer), REFUSED)


@case
def a_signing_key_that_names_no_account(house: House, account: Key) -> Login:
    signer = Key("A")
    house.account("wide", signing_keys=[signer.public])
    return login(user_of(house, signer), REFUSED)


def scoped(house: House, template: dict[str, Any], **more: Any) -> tuple[str, Key]:
    signer = Key("A")
    role = {"kind": "user_scope", "key": signer.public, "role": "any", "template": template}
    return user_of(house, house.account("roles", signing_keys=[role]), signer=signer, **more)


@case
def a_user_of_a_role(house: House, account: Key) -> Login:
    return login(scoped(house, {"pub": {"allow": ["{{name()}}.>"]}}, scoped=True), IN)


@case
def a_user_of_a_role_that_says_more_than_it_may(house: House, account: Key) -> Login:
    return login(scoped(house, {"pub": {"allow": ["a"]}}), REFUSED)


@case
def a_role_whose_denial_names_a_tag_that_is_not_there(house: House, account: Key) -> Login:
    return login(scoped(house, {"pub": {"deny": ["{{tag(region)}}.>"]}}, scoped=True), REFUSED)


@case
def a_role_with_a_place_that_means_nothing(house: House, account: Key) -> Login:
    return login(scoped(house, {"pub": {"allow": ["{{colour()}}.>"]}}, scoped=True), REFUSED)


@case
def a_role_that_makes_bearers(house: House, account: Key) -> Login:
    token, _ = scoped(house, {"bearer_token": True}, scoped=True)
    return Login(token, None, IN, {})


@case
def a_role_of_another_kind_of_connection(house: House, account: Key) -> Login:
    return login(scoped(house, {"allowed_connection_types": ["MQTT"]}, scoped=True), REFUSED)


@case
def a_revoked_user(house: House, account: Key) -> Login:
    key = Key("U")
    guarded = house.account("guarded", revocations={key.public: soon(60)})
    return Login(house.make("user", "ann", seed=key, issuer=guarded), key, REFUSED, {})


@case
def a_user_whose_tokens_were_revoked_before(house: House, account: Key) -> Login:
    key = Key("U")
    guarded = house.account("guarded", revocations={key.public: soon(-60)})
    return Login(house.make("user", "ann", seed=key, issuer=guarded), key, IN, {})


@case
def everybody_is_revoked(house: House, account: Key) -> Login:
    return login(user_of(house, house.account("closed", revocations={"*": soon(60)})), REFUSED)


@case
def the_right_kind_of_connection(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"allowed_connection_types": ["standard", "MQTT"]}), IN)


@case
def another_kind_of_connection(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"allowed_connection_types": ["WEBSOCKET"]}), REFUSED)


@case
def a_kind_of_connection_that_nobody_knows(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"allowed_connection_types": ["PIGEON"]}), REFUSED)


@case
def a_known_kind_of_connection_beside_an_unknown_one(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"allowed_connection_types": ["PIGEON", "STANDARD"]}), IN)


@case
def the_right_address(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"src": ["10.0.0.0/8", "127.0.0.1/8"]}), IN)


@case
def another_address(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"src": ["10.0.0.0/8", "::1/128"]}), REFUSED)


@case
def an_address_range_that_is_none(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"src": ["127.0.0.1"]}), REFUSED)


def hours(first: int, last: int, zone: str = "UTC") -> dict[str, Any]:
    """From so many hours after now to so many, in UTC."""
    now = time.time()
    start, end = (time.strftime("%H:%M:%S", time.gmtime(now + 3600 * one)) for one in (first, last))
    return {"times": [{"start": start, "end": end}], "times_location": zone}


@case
def the_right_hours(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims=hours(-1, 1)), IN)


@case
def other_hours(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims=hours(2, 3)), REFUSED)


@case
def hours_in_another_zone(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims=hours(-1, 1, "Asia/Tokyo")), REFUSED)


@case
def hours_that_are_none(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"times": [{"start": "9", "end": "17:00:00"}]}), REFUSED)


@case
def a_zone_that_is_none(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"times_location": "Mars/Olympus"}), REFUSED)


@case
def a_permission_that_is_no_subject(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"pub": {"allow": ["a..b"]}}), REFUSED)


@case
def a_permission_to_publish_to_a_queue_group(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"pub": {"allow": ["a b"]}}), REFUSED)


@case
def a_permission_to_subscribe_in_a_queue_group(house: House, account: Key) -> Login:
    return login(user_of(house, account, claims={"sub": {"allow": ["a b"]}}), IN)


@case
def an_account_that_expired(house: House, account: Key) -> Login:
    return login(user_of(house, house.account("late", exp=soon(-5))), REFUSED)


@case
def an_account_with_more_exports_than_it_may(house: House, account: Key) -> Login:
    exports = [{"name": "a", "subject": "a", "type": "stream"}]
    return login(user_of(house, house.account("wide", exports=exports, limits=UNLIMITED | {"exports": 0})), REFUSED)


@case
def an_account_with_a_wildcard_that_it_may_not_export(house: House, account: Key) -> Login:
    exports = [{"name": "a", "subject": "a.>", "type": "stream"}]
    limits = UNLIMITED | {"exports": 5, "wildcards": False}
    return login(user_of(house, house.account("wide", exports=exports, limits=limits)), REFUSED)


@case
def a_damaged_token(house: House, account: Key) -> Login:
    token, key = user_of(house, account)
    header, payload, signature = token.split(".")
    return Login(f"{header}.{payload}.{'A' * len(signature)}", key, REFUSED, {})


@case
def a_token_about_an_account(house: House, account: Key) -> Login:
    return Login(house.accounts[account.public], Key("U"), REFUSED, {})


@case
def no_token(house: House, account: Key) -> Login:
    return Login("", Key("U"), REFUSED, {})


@case
def a_password(house: House, account: Key) -> Login:
    return Login("", None, REFUSED, {"user": "ann", "pass": "secret"})


SIGNING = Key("O")


@pytest.fixture(scope="module")
def maker() -> Iterator[Maker]:
    with jwt_maker() as make:
        yield make


@pytest.fixture(scope="module")
def logins(maker: Maker) -> tuple[House, dict[str, Login]]:
    house = House(maker, claims={"signing_keys": [SIGNING.public]})
    account = house.account("home")
    return house, {name: make(house, account) for name, make in CASES.items()}


@pytest.fixture(scope="module")
def house(logins: tuple[House, dict[str, Login]]) -> House:
    return logins[0]


@pytest.fixture(scope="module")
def servers(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    directory = tmp_path_factory.mktemp("jwt")
    with (
        nats_server(directory / "nats", house.nats_config()) as theirs,
        gateway(directory / "edge", config=house.gateway_config()) as ours,
    ):
        yield theirs, ours


@pytest.mark.parametrize("name", CASES)
def test_the_same_login_has_the_same_end_at_both(
    name: str, logins: tuple[House, dict[str, Login]], servers: tuple[Peer, Peer]
) -> None:
    one = logins[1][name]
    answers = [log_in(server, one.token, one.key, **one.more) for server in servers]
    assert answers == [one.expected, one.expected]


def test_refusals_name_neither_tokens_nor_signatures(
    logins: tuple[House, dict[str, Login]], servers: tuple[Peer, Peer]
) -> None:
    _, ours = servers
    for one in logins[1].values():
        log_in(ours, one.token, one.key, **one.more)
    told = ours.log()
    assert "event=refused" in told
    assert "eyJ" not in told
    assert "secret" not in told
    for one in logins[1].values():
        assert one.key is None or one.key.seed not in told


@pytest.mark.parametrize("strict", [False, True])
def test_an_operator_may_reserve_signing_for_signing_keys(
    strict: bool, maker: Maker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    claims = {"signing_keys": [SIGNING.public], "strict_signing_key_usage": strict}
    house = House(maker, claims=claims)
    account_signer = Key("A")
    by_signing_key = house.account("one", signer=SIGNING, signing_keys=[account_signer.public])
    logins = [
        (user_of(house, by_signing_key, signer=account_signer), IN),
        (user_of(house, by_signing_key), REFUSED if strict else IN),
    ]
    if not strict:  # nats-server does not even start with it.
        logins.append((user_of(house, house.account("two")), IN))
    directory = tmp_path_factory.mktemp("strict")
    with (
        nats_server(directory / "nats", house.nats_config()) as theirs,
        gateway(directory / "edge", config=house.gateway_config()) as ours,
    ):
        for (token, key), expected in logins:
            assert [log_in(server, token, key) for server in (theirs, ours)] == [expected, expected]


def test_a_bearer_token_is_a_password_in_mqtt_and_no_other_is(maker: Maker, tmp_path: Path) -> None:
    house = House(maker)
    account = house.account("home")
    bearer, _ = user_of(house, account, claims={"bearer_token": True, "allowed_connection_types": ["MQTT"]})
    signer, _ = user_of(house, account)
    elsewhere, _ = user_of(house, account, claims={"bearer_token": True, "allowed_connection_types": ["STANDARD"]})
    program = require_peer("mosquitto_pub")
    with gateway(tmp_path / "edge", protocols=("nats", "mqtt"), config=house.gateway_config()) as edge:
        for token, ok in ((bearer, True), (signer, False), (elsewhere, False), ("secret", False)):
            command = [
                program,
                "-p",
                str(edge.ports["mqtt"]),
                "-u",
                "any",
                "-P",
                token,
                "-t",
                "t",
                "-m",
                "m",
                "-q",
                "1",
            ]
            assert (
                subprocess.run(command, check=False, capture_output=True, timeout=PATIENCE_SECONDS).returncode == 0
            ) is ok
        assert "eyJ" not in edge.log()
