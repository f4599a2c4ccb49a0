"""Who comes in by a configuration, how, and as whom."""

import msgspec
import nkeys
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from trio.testing import MockClock

from gateway.accounts import passwords
from gateway.accounts.attempts import FREE_FAILURES
from gateway.accounts.identity import Credentials, Decision, Identity, PeerLimits, Refusal
from gateway.accounts.users import ConfiguredAdmission
from gateway.assembly import Gateway
from gateway.settings.listener import Listener
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import AccountRules, Authentication, PermissionRules, SubjectRule, Tls, User
from tests.gateway.accounts.certificate_maker import certificate

SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
KEY = nkeys.from_seed(SEED).public_key.decode()
HASH = "$2b$04$abcdefghijklmnopqrstuujZkTwHUiJ9XdZPwKfcfDo7dMp5DjlTu"  # of "wonderland"
ANNA = User(name="anna", password=Secret("plain"), account="plant", client_id_prefix="a-")
BEN = User(name="ben", password=Secret(HASH), addresses=("10.0.0.0/8", "fd00::/8"))
WEB = User(name="web", password=Secret("plain"), connection_types=("websocket", "mqtt"))
KEYED = User(nkey=KEY)
USERS = (ANNA, BEN, WEB, KEYED)
PLANT = AccountRules(name="plant", max_subscriptions=5, max_payload_bytes=100)
MAPPING = Listener(
    protocol="nats", address="127.0.0.1:0", tls=Tls(certificate="x.pem", client_ca="ca.pem", verify="map")
)


def config(*users: User, **authentication: object) -> Config:
    return Config(users=users or USERS, accounts=(PLANT,), authentication=Authentication(**authentication))  # type: ignore[arg-type]


def admission_of(configuration: Config) -> ConfiguredAdmission:
    admission = Gateway(configuration).admission
    assert isinstance(admission, ConfiguredAdmission)
    return admission


async def ask(admission: ConfiguredAdmission, kind: str = "nats", **said: object) -> Decision:
    credentials = Credentials(kind=kind, **{"address": "10.0.0.1"} | said)  # type: ignore[arg-type]
    decision = admission.admit(credentials)
    return decision if isinstance(decision, Identity | Refusal) else await decision


def sign(nonce: bytes) -> str:
    import base64

    return base64.urlsafe_b64encode(nkeys.from_seed(SEED).sign(nonce)).rstrip(b"=").decode()


async def test_everybody_is_anonymous_where_nobody_is_asked():
    admission = admission_of(Config())
    for decision in (admission.anonymous("nats", None), await ask(admission, user="x", password=b"y")):
        assert isinstance(decision, Identity)
        assert (decision.account.name, decision.user) == ("$G", "")
        assert isinstance(admission.renew(decision), Identity)


async def test_user_has_what_its_account_and_its_table_say():
    identity = await ask(admission_of(config()), user="anna", password=b"plain")
    assert isinstance(identity, Identity)
    assert (identity.user, identity.account.name, identity.client_id_prefix) == ("anna", "plant", b"a-")
    assert identity.limits == PeerLimits(5, 100)
    assert "plain" not in repr(identity.proof)


async def test_permissions_are_the_users_own_or_those_of_its_account_or_those_for_all():
    def may(*subjects: str) -> PermissionRules:
        return PermissionRules(publish=SubjectRule(allow=subjects))

    rules = Config(
        users=(
            msgspec.structs.replace(ANNA, permissions=may("own")),
            User(name="carl", password=Secret("plain"), account="plant"),
            WEB,
        ),
        accounts=(msgspec.structs.replace(PLANT, default_permissions=may("accounts")),),
        authentication=Authentication(default_permissions=may("everybodys"), token=Secret("t0ken")),
    )
    admission = admission_of(rules)
    for said, subject in (
        ({"user": "anna", "password": b"plain"}, b"own"),
        ({"user": "carl", "password": b"plain"}, b"accounts"),
        ({"user": "web", "password": b"plain", "kind": "mqtt"}, b"everybodys"),
        ({"token": "t0ken"}, b"everybodys"),
    ):
        identity = await ask(admission, **said)  # type: ignore[arg-type]
        assert isinstance(identity, Identity)
        allowed = [one for one in (b"own", b"accounts", b"everybodys") if identity.permissions.may_publish(one)]
        assert allowed == [subject]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"user": "anna", "password": b"wrong"}, "a wrong password"),
        ({"user": "anna"}, "a wrong password"),
        ({"user": "ben", "password": b"Wonderland"}, "a wrong password"),
        ({"user": "ben", "password": b"wonderland", "address": "192.0.2.1"}, "the user may not come from there"),
        ({"user": "ben", "password": b"wonderland", "address": "2001:db8::1"}, "the user may not come from there"),
        ({"user": "ben", "password": b"wonderland", "address": "/dev/ttyUSB0"}, "the user may not come from there"),
        ({"user": "web", "password": b"plain"}, "the user may not come by nats"),
        ({"user": "eve", "password": b"plain"}, "no such user"),
        ({"user": KEY, "password": b""}, "no such user"),
        ({"password": b"plain"}, "no such user"),
        ({"token": "plain"}, "a wrong token"),
        ({"nkey": KEY}, "no signature"),
        ({"nkey": KEY, "signature": sign(b"other"), "nonce": b"nonce"}, "a wrong signature"),
        ({"nkey": KEY, "signature": sign(b""), "nonce": b""}, "a signature of no challenge"),
        ({"nkey": KEY, "signature": "AAAA", "nonce": b"nonce"}, "a wrong signature"),
        ({"nkey": "U" + KEY[1:][::-1], "signature": sign(b"nonce"), "nonce": b"nonce"}, "no such key"),
        ({"nkey": KEY, "user": "anna", "password": b"plain"}, "no signature"),
        ({}, "no credentials"),
        ({"jwt": "e30.e30.e30"}, "no credentials"),
    ],
)
async def test_refusal_says_why(said: dict, reason: str):
    assert await ask(admission_of(config()), **said) == Refusal(reason)


@pytest.mark.parametrize(
    ("said", "user"),
    [
        ({"user": "ben", "password": b"wonderland"}, "ben"),
        ({"user": "ben", "password": b"wonderland", "address": "::ffff:10.1.2.3"}, "ben"),
        ({"user": "ben", "password": b"wonderland", "address": "fd00::1"}, "ben"),
        ({"user": "web", "password": b"plain", "kind": "websocket"}, "web"),
        ({"nkey": KEY, "signature": sign(b"nonce"), "nonce": b"nonce"}, KEY),
        ({"token": "t0ken"}, ""),
    ],
)
async def test_right_login_lets_in(said: dict, user: str):
    identity = await ask(admission_of(config(token=Secret("t0ken"))), **said)
    assert isinstance(identity, Identity)
    assert identity.user == user


async def test_token_is_not_asked_of_whom_one_takes_for_a_user():
    admission = admission_of(config(token=Secret("t0ken")))
    assert await ask(admission, user="anna", password=b"x", token="t0ken") == Refusal("a wrong password")
    assert await ask(admission_of(config(ANNA)), token="") == Refusal("no credentials")


# Without a login.


async def test_user_for_those_who_say_nothing_may_be_one_of_a_listener():
    door = Listener(protocol="nats", address="127.0.0.1:0", no_auth_user="anna")
    admission = admission_of(msgspec.structs.replace(config(no_auth_user="web"), listeners=(door,)))
    for listener, kind, user in ((door, "nats", "anna"), (None, "mqtt", "web")):
        for identity in (admission.anonymous(kind, listener), await ask(admission, kind, listener=listener)):
            assert isinstance(identity, Identity)
            assert identity.user == user
    assert admission.anonymous("nats", None) is None
    assert await ask(admission) == Refusal("no credentials")


async def test_device_whose_user_the_gateway_knows_needs_no_login():
    admission = admission_of(config())
    identity = admission.vouch("anna", Credentials(kind="serial", address="/dev/ttyUSB0"))
    assert isinstance(identity, Identity)
    assert identity.user == "anna"
    assert admission.vouch("web", Credentials(kind="serial")) == Refusal("the user may not come by serial")
    assert admission.vouch("eve", Credentials(kind="serial")) == Refusal("no such user")


# Certificates.

NAMED = ("anna@example.org", "anna.example", "spiffe://example/anna", "CN=anna,OU=plant,O=Example")


def der(subject: str = "CN=x", *names: x509.GeneralName) -> bytes:
    return certificate(subject, *names).public_bytes(Encoding.DER)


def mapped(*names: str, **more: object) -> ConfiguredAdmission:
    users = tuple(User(name=name, **more) for name in names)  # type: ignore[arg-type]
    return admission_of(Config(users=users, listeners=(MAPPING,)))


@pytest.mark.parametrize(
    ("shown", "user"),
    [
        (der("CN=x", x509.RFC822Name("anna@example.org"), x509.DNSName("anna.example")), "anna@example.org"),
        (der("CN=x", x509.DNSName("anna.example"), x509.RFC822Name("eve@example.org")), "anna.example"),
        (der("CN=x", x509.UniformResourceIdentifier("spiffe://example/anna")), "spiffe://example/anna"),
        (der("CN=anna,OU=plant,O=Example"), NAMED[3]),
        (der("O=Example,CN=anna,OU=plant"), NAMED[3]),
        (der("CN=anna,OU=plant,O=Example", x509.DNSName("anna.example")), "anna.example"),
    ],
)
async def test_certificate_says_who_the_user_is(shown: bytes, user: str):
    identity = await ask(mapped(*NAMED), certificate=shown, listener=MAPPING)
    assert isinstance(identity, Identity)
    assert identity.user == user


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (b"", "no certificate"),
        (b"\x30\x00", "a certificate that names no user"),
        (der("CN=eve", x509.DNSName("eve.example")), "a certificate that names no user"),
        (der("CN=anna,OU=plant"), "a certificate that names no user"),
    ],
)
async def test_certificate_of_nobody_lets_nobody_in(shown: bytes, reason: str):
    said = {"certificate": shown, "user": "anna.example"}
    assert await ask(mapped(*NAMED), **said, listener=MAPPING) == Refusal(reason)


async def test_certificate_counts_only_where_it_says_who_the_user_is():
    assert await ask(mapped(*NAMED), certificate=der("CN=anna,OU=plant,O=Example")) == Refusal("no credentials")
    said = {"certificate": der("CN=x", x509.DNSName("anna.example")), "user": "anna.example"}
    assert await ask(mapped(*NAMED), **said) == Refusal("the user has no password")


async def test_user_of_a_certificate_that_has_a_password_gives_both():
    admission, shown = mapped("anna.example", password=Secret("plain")), der("CN=x", x509.DNSName("anna.example"))
    assert await ask(admission, certificate=shown, listener=MAPPING) == Refusal("a wrong password")
    assert isinstance(await ask(admission, certificate=shown, listener=MAPPING, password=b"plain"), Identity)


LISTENER = Listener(protocol="mqtt", address="127.0.0.1:0")
SHARING = Listener(protocol="mqtt", address="127.0.0.1:0", tls=Tls(psk_file="keys", verify="map"))


@pytest.mark.parametrize(
    ("user", "said", "expected"),
    [
        (User(name="anna"), {"psk_identity": "anna"}, "anna"),
        (User(name="anna"), {"psk_identity": "anna", "user": "ben"}, "anna"),
        (User(name="anna"), {"psk_identity": "anna", "user": "ben", "password": b"x"}, "a wrong password"),
        (User(name="anna"), {"psk_identity": "eve", "user": "anna"}, "a shared key of no user"),
        (User(name="anna"), {"user": "anna"}, "no certificate"),
        (User(name="anna", password=Secret("plain")), {"psk_identity": "anna", "password": b"plain"}, "anna"),
        (User(name="anna", password=Secret("plain")), {"psk_identity": "anna"}, "a wrong password"),
        (User(name="anna", connection_types=("nats",)), {"psk_identity": "anna"}, "the user may not come by mqtt"),
    ],
)
async def test_identity_of_a_shared_key_names_the_user(user: User, said: dict, expected: str):
    admission = admission_of(Config(users=(user, User(name="ben", password=Secret("x"))), listeners=(SHARING,)))
    decision = await ask(admission, "mqtt", **said, listener=SHARING)
    if isinstance(decision, Identity):
        assert decision.user == expected
    else:
        assert decision.reason == expected


async def test_identity_of_a_shared_key_counts_only_where_it_says_who_the_user_is():
    listeners = (SHARING, LISTENER)
    users = User(name="anna"), User(name="ben", password=Secret("x"))
    admission = admission_of(Config(users=users, listeners=listeners))
    assert await ask(admission, "mqtt", psk_identity="anna", listener=LISTENER) == Refusal("no credentials")


# Who guesses.


async def test_guesses_are_slowed_and_then_refused(autojump_clock: MockClock):
    admission = admission_of(config())
    for _ in range(FREE_FAILURES):
        assert await ask(admission, user="anna", password=b"wrong") == Refusal("a wrong password")
    begun = trio.current_time()
    assert await ask(admission, user="anna", password=b"wrong") == Refusal("a wrong password")
    assert await ask(admission, user="anna", password=b"wrong") == Refusal("a wrong password")
    assert trio.current_time() - begun > 0.1
    for _ in range(5):
        decision = await ask(admission, user="anna", password=b"wrong")
    assert decision == Refusal("too many failures before it")
    assert await ask(admission, user="anna", password=b"plain") == decision
    assert isinstance(await ask(admission, user="ben", password=b"wonderland", address="10.0.0.2"), Identity)
    await trio.sleep(10)
    assert isinstance(await ask(admission, user="anna", password=b"plain"), Identity)
    assert await ask(admission, user="anna", password=b"wrong") == Refusal("a wrong password")


# Changes.


@pytest.mark.parametrize("user", ["ben", "nobody"])
async def test_guesses_that_come_at_once_are_no_more_than_those_one_by_one(user: str, monkeypatch: pytest.MonkeyPatch):
    checked = []
    monkeypatch.setattr(passwords, "matches_hash", lambda stored, given: checked.append(given) or False)
    admission = admission_of(config())
    decisions: list[Decision] = []

    async def guess(number: int) -> None:
        decisions.append(await ask(admission, user=user, password=b"%d" % number, address="10.0.0.9"))

    with trio.move_on_after(30):
        async with trio.open_nursery() as nursery:
            for number in range(256):
                nursery.start_soon(guess, number)
    assert len(decisions) == 256
    assert len(checked) <= FREE_FAILURES + 4  # A few get a time of their own within the patience.
    assert decisions.count(Refusal("too many failures before it")) >= 240


async def test_fleet_that_comes_at_once_with_the_right_passwords_gets_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passwords, "matches_hash", lambda stored, given: given == b"right")
    fleet = tuple(User(name=f"device-{number}", password=Secret(HASH)) for number in range(100))
    admission = admission_of(config(*fleet))
    decisions: list[Decision] = []

    async def come(user: User) -> None:
        decisions.append(await ask(admission, user=user.name, password=b"right"))

    async with trio.open_nursery() as nursery:
        for user in fleet:
            nursery.start_soon(come, user)
    assert len(decisions) == 100
    assert all(isinstance(one, Identity) for one in decisions)


async def renewed(before: Config, after: Config, **said: object) -> Decision:
    """What becomes of somebody who came in before the configuration was another."""
    gateway = Gateway(before)
    admission = gateway.admission
    assert isinstance(admission, ConfiguredAdmission)
    identity = await ask(admission, **said)  # type: ignore[arg-type]
    assert isinstance(identity, Identity)
    gateway.settings.replace(after)
    admission.apply()
    return admission.renew(identity)


BY_PASSWORD = {"user": "anna", "password": b"plain"}
BY_KEY = {"nkey": KEY, "signature": sign(b"nonce"), "nonce": b"nonce"}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (config(), BY_PASSWORD),
        (config(), BY_KEY),
        (config(ANNA), BY_PASSWORD),
        (config(token=Secret("t0ken")), {"token": "t0ken"}),
    ],
)
async def test_who_still_may_stays(after: Config, said: dict):
    assert isinstance(await renewed(config(token=Secret("t0ken")), after, **said), Identity)


@pytest.mark.parametrize(
    ("after", "said", "reason"),
    [
        (config(BEN), BY_PASSWORD, "there is no such user any more"),
        (config(ANNA), BY_KEY, "there is no such user any more"),
        (
            config(msgspec.structs.replace(ANNA, password=Secret("other"))),
            BY_PASSWORD,
            "the user has other credentials now",
        ),
        (
            config(msgspec.structs.replace(ANNA, connection_types=("mqtt",))),
            BY_PASSWORD,
            "the user may not come by nats",
        ),
        (
            config(msgspec.structs.replace(ANNA, addresses=("192.0.2.0/24",))),
            BY_PASSWORD,
            "the user may not come from there",
        ),
        (config(token=Secret("other")), {"token": "t0ken"}, "the token is another one"),
        (config(), {"token": "t0ken"}, "the token is another one"),
    ],
)
async def test_who_may_not_any_more_is_told_apart(after: Config, said: dict, reason: str):
    told = "" if reason == "there is no such user any more" else "Authorization Violation"
    assert await renewed(config(token=Secret("t0ken")), after, **said) == Refusal(reason, told=told)


async def test_what_the_user_has_now_is_what_it_gets():
    after = config(msgspec.structs.replace(ANNA, account="", client_id_prefix=""))
    identity = await renewed(config(), after, **BY_PASSWORD)
    assert isinstance(identity, Identity)
    assert (identity.account.name, identity.client_id_prefix) == ("$G", b"")


async def test_somebody_anonymous_stays_as_long_as_nobody_is_asked():
    assert isinstance(await renewed(Config(), Config()), Identity)
    assert await renewed(Config(), config()) == Refusal("no credentials")
    assert isinstance(await renewed(config(no_auth_user="anna"), config(no_auth_user="anna")), Identity)
