"""Trust: accounts that an operator vouches for, what they share, and users whose tokens change while they are there."""

import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from gateway.accounts import nkeys
from gateway.accounts.account import Account
from gateway.accounts.identity import NOTHING, Credentials, Decision, Identity, Refusal
from gateway.accounts.jwt import MOST_HOURS, MOST_NETWORKS, MOST_SUBJECTS, JwtError, encode
from gateway.accounts.jwt_admission import ACCOUNT_EXPIRED, REVOKED, JwtAdmission
from gateway.accounts.nkeys import KeyPair
from gateway.accounts.permissions import EVERYTHING, make_permissions
from gateway.accounts.resolver import DirectoryResolver, MemoryResolver, ResolverError
from gateway.accounts.trust import TrustedAccounts
from gateway.accounts.trusted_operator import TrustedOperator
from gateway.settings.security import AccountRules, Export, Import, PermissionRules, SubjectRule
from gateway.storage.published_ids import PublishedIds
from gateway.storage.retained_messages import RetainedMessages

UNLIMITED = {"subs": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
NONCE = b"kpxvMriUpUt0RUI"


class World:
    """An operator, its accounts, and a gateway that trusts it; `clock` is in seconds since 1970."""

    def __init__(self, directory: Path | None = None, **operator: Any) -> None:
        self.operator = KeyPair.new(nkeys.OPERATOR)
        self.preload: dict[str, str] = {}
        self.directory = directory
        resolver = DirectoryResolver(directory) if directory is not None else MemoryResolver(self.preload)
        token = encode(
            self.operator, {"sub": self.operator.public, "nats": {"type": "operator", "version": 2, **operator}}
        )
        self.opened: dict[str, AccountRules] = {}
        self.changes = 0
        self.time = time.time() + 1
        self.trust = TrustedAccounts(TrustedOperator(token), resolver, self.open, self.note, lambda: self.time)
        self.admission = JwtAdmission(self.trust)
        self._accounts: dict[str, Account] = {}

    def note(self) -> None:
        self.changes += 1

    def open(self, public: str, rules: AccountRules) -> Account:
        self.opened[public] = rules
        if public not in self._accounts:
            self._accounts[public] = Account(public, RetainedMessages(10, 1000), PublishedIds())
        return self._accounts[public]

    def account(self, key: KeyPair | None = None, signer: KeyPair | None = None, **claims: Any) -> KeyPair:
        """A further account, or another token for one."""
        key = key or KeyPair.new(nkeys.ACCOUNT)
        outer = {name: claims.pop(name) for name in ("exp", "name") if name in claims}
        body = {"type": "account", "version": 2, "limits": UNLIMITED, **claims}
        token = encode(signer or self.operator, {"sub": key.public, "nats": body, **outer})
        if self.directory is not None:
            DirectoryResolver(self.directory).save(key.public, token)
        else:
            self.preload[key.public] = token
        return key

    def enter(self, account: KeyPair, user: KeyPair | None = None, **claims: Any) -> Decision | Awaitable[Decision]:
        return self.admission.admit(credentials(account, user, **claims))


def credentials(account: KeyPair, user: KeyPair | None = None, address: str = "10.0.0.7", **claims: Any) -> Credentials:
    user = user or KeyPair.new(nkeys.USER)
    outer = {name: claims.pop(name) for name in ("exp", "nbf", "name") if name in claims}
    body = {"type": "user", "version": 2, "subs": -1, "payload": -1, **claims}
    token = encode(account, {"sub": user.public, "nats": body, **outer})
    signature = nkeys.encode_signature(user.sign(NONCE))
    return Credentials(kind="nats", jwt=token, nonce=NONCE, signature=signature, address=address)


def admitted(decision: object) -> Identity:
    assert isinstance(decision, Identity), decision
    return decision


def refused(decision: object) -> str:
    assert isinstance(decision, Refusal), decision
    assert "eyJ" not in decision.reason
    return decision.reason


def test_a_user_is_who_its_token_says():
    world = World()
    account, user = world.account(name="acme"), KeyPair.new(nkeys.USER)
    claims = {"payload": 100, "pub": {"allow": ["a"]}, "exp": int(world.time) + 60}
    identity = admitted(world.enter(account, user, **claims))
    assert identity.account.name == account.public
    assert identity.user == user.public
    assert identity.permissions is make_permissions(PermissionRules(publish=SubjectRule(allow=("a",))))
    assert (identity.limits.max_payload_bytes, identity.limits.max_subscriptions) == (100, 0)
    assert identity.expires == claims["exp"]


def test_who_has_no_permissions_has_those_of_the_account():
    world = World()
    account = world.account(default_permissions={"sub": {"deny": ["x"]}})
    assert admitted(world.enter(account)).permissions is make_permissions(
        PermissionRules(subscribe=SubjectRule(deny=("x",)))
    )
    assert admitted(world.enter(world.account())).permissions is EVERYTHING


def test_answers_alone_are_all_that_may_be_published_by_who_may_answer():
    world = World()
    permissions = admitted(world.enter(world.account(), resp={"max": 2, "ttl": 0})).permissions
    assert not permissions.may_publish(b"a")


def test_the_narrower_limit_holds():
    world = World()
    account = world.account(limits=UNLIMITED | {"payload": 50, "subs": 7})
    limits = admitted(world.enter(account, payload=100, subs=3)).limits
    assert (limits.max_payload_bytes, limits.max_subscriptions) == (50, 3)


@pytest.mark.parametrize("none", [0, -2])
def test_who_may_have_nothing_has_a_limit(none: int):
    world = World()
    for decision in (
        world.enter(world.account(), subs=none, payload=none),
        world.enter(world.account(limits=UNLIMITED | {"subs": none, "payload": none})),
        world.enter(world.account(limits=UNLIMITED | {"subs": none, "payload": none}), subs=5, payload=5),
    ):
        limits = admitted(decision).limits
        assert (limits.subscriptions(0), limits.subscriptions(100)) == (NOTHING, NOTHING)
        assert (limits.payload_bytes(0), limits.payload_bytes(100)) == (0, 0)
    account = admitted(world.enter(world.account(limits=UNLIMITED | {"conn": none}))).account
    account.rules = world.opened[account.name]
    assert not account.enter()


def test_an_account_ends_with_its_token_and_so_do_its_users():
    world = World()
    end = int(world.time) + 30
    account = world.account(exp=end)
    identity = admitted(world.enter(account, exp=end + 100))
    assert identity.expires == end
    world.time += 31
    assert "expired" in refused(world.admission.renew(identity))


def test_a_session_ends_with_the_hours():
    world = World()
    world.time = 1_800_000_000.0  # 08:00:00 UTC
    hours = {"times": [{"start": "07:00:00", "end": "09:30:00"}], "times_location": "UTC"}
    identity = admitted(world.enter(world.account(), **hours))
    assert identity.expires == world.time + 5400
    world.time += 600
    assert world.admission.renew(identity) == identity
    world.time += 5400
    assert "time of the day" in refused(world.admission.renew(identity))


@pytest.mark.parametrize(
    ("start", "end", "left"),
    [("22:00:00", "08:00:10", 10.0), ("07:59:59", "06:00:00", 22 * 3600.0), ("09:00:00", "07:00:00", None)],
)
def test_hours_go_over_midnight(start: str, end: str, left: float | None):
    world = World()
    world.time = 1_800_000_000.0
    decision = world.enter(world.account(), times=[{"start": start, "end": end}], times_location="UTC")
    if left is None:
        refused(decision)
    else:
        assert admitted(decision).expires == world.time + left


def test_ipv6_in_which_an_ipv4_address_stands_is_that_address():
    world = World()
    account = world.account()
    for address, ok in (("::ffff:10.0.0.7", True), ("::ffff:11.0.0.7", False), ("serial", False), ("", False)):
        decision = world.admission.admit(credentials(account, address=address, src=["10.0.0.0/8"]))
        assert isinstance(decision, Identity) is ok


async def test_revocation_reaches_who_is_there():
    world = World()
    account, user = world.account(), KeyPair.new(nkeys.USER)
    identity, other = admitted(world.enter(account, user)), admitted(world.enter(account))
    assert await world.trust.refresh() == set()
    assert world.changes == 0
    world.account(account, revocations={user.public: int(world.time) + 5})
    assert await world.trust.refresh() == {account.public}
    assert world.changes == 1
    decision = world.admission.renew(identity)
    assert isinstance(decision, Refusal)
    assert decision.told == REVOKED
    assert world.admission.renew(other) == other


async def test_rights_of_who_is_there_follow_the_role_of_its_key():
    world = World()
    signer = KeyPair.new(nkeys.ACCOUNT)

    def role(**template: Any) -> list[Any]:
        return [{"kind": "user_scope", "key": signer.public, "template": template}]

    account = world.account(signing_keys=role(pub={"allow": ["{{name()}}"]}))
    user = credentials(signer, issuer_account=account.public, subs=0, payload=0, name="ann")
    identity = admitted(world.admission.admit(user))
    assert identity.permissions.may_publish(b"ann")
    world.account(account, signing_keys=role(pub={"allow": ["b"]}))
    await world.trust.refresh()
    renewed = admitted(world.admission.renew(identity))
    assert not renewed.permissions.may_publish(b"ann")
    assert renewed.permissions.may_publish(b"b")
    world.account(account, signing_keys=[])
    await world.trust.refresh()
    assert "no key" in refused(world.admission.renew(identity))


async def test_an_account_that_is_gone_shares_nothing_and_has_nobody():
    world = World()
    account = world.account(exports=[{"subject": "a", "type": "stream"}])
    identity = admitted(world.enter(account))
    del world.preload[account.public]
    assert await world.trust.refresh() == {account.public}
    decision = world.admission.renew(identity)
    assert isinstance(decision, Refusal)
    assert decision.told == ACCOUNT_EXPIRED
    assert world.opened[account.public] == AccountRules(name=account.public)
    refused(world.enter(account))


async def test_a_token_that_is_worse_than_the_last_one_ends_the_account():
    world = World()
    account = world.account()
    admitted(world.enter(account))
    world.account(account, signer=KeyPair.new(nkeys.OPERATOR))
    assert await world.trust.refresh() == {account.public}
    refused(world.enter(account))


def test_an_account_is_not_looked_for_by_another_s_token():
    world = World()
    one, other = world.account(), KeyPair.new(nkeys.ACCOUNT)
    world.preload[other.public] = world.preload[one.public]
    refused(world.enter(other))


async def test_tokens_in_a_directory_are_read_when_they_are_needed(tmp_path: Path):
    world = World(tmp_path)
    account = world.account()
    decision = world.enter(account)
    assert not isinstance(decision, Identity | Refusal)
    identity = admitted(await decision)
    assert admitted(world.enter(account)).account is identity.account  # It is there now.
    stranger = world.enter(KeyPair.new(nkeys.ACCOUNT))
    assert not isinstance(stranger, Identity | Refusal)
    refused(await stranger)
    assert await world.trust.refresh() == set()
    world.account(account, revocations={"*": int(world.time) + 5})
    assert await world.trust.refresh() == {account.public}
    refused(world.admission.renew(identity))


def test_a_directory_keeps_what_it_is_given_and_puts_aside_what_is_removed(tmp_path: Path):
    resolver = DirectoryResolver(tmp_path)
    account = KeyPair.new(nkeys.ACCOUNT).public
    resolver.save(account, "eyJ")
    (tmp_path / "README").write_text("no account")
    (tmp_path / "AAAA.jwt").write_text("no account")
    assert resolver.accounts() == [account]
    assert resolver.fetch(account) == "eyJ"
    resolver.delete(account)
    assert (resolver.accounts(), resolver.fetch(account)) == ([], None)
    assert [path.name for path in tmp_path.glob("*.deleted")] == [f"{account}.jwt.deleted"]
    for wrong in ("../x", "", account[:-1], "U" + account[1:]):
        with pytest.raises(ResolverError):
            resolver.save(wrong, "eyJ")


# What accounts share.


def exports(*more: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"subject": "pub.>", "type": "stream"}, {"subject": "q", "type": "service"}, *more]


def imported(world: World, account: KeyPair) -> tuple[Import, ...]:
    return world.opened[account.public].imports


def test_claims_become_the_rules_of_an_account():
    world = World()
    other = world.account(exports=exports())
    account = world.account(
        limits=UNLIMITED | {"conn": 5, "payload": 9, "disk_storage": 77},
        exports=[
            {
                "subject": "calc",
                "type": "service",
                "response_type": "Stream",
                "response_threshold": 3_000_000_000,
                "service_latency": {"sampling": 50, "results": "lat"},
            },
            {"subject": "s.*", "type": "stream", "account_token_position": 2},
        ],
        imports=[
            {"account": other.public, "subject": "pub.a", "type": "stream", "to": "from.other"},
            {"account": other.public, "subject": "pub.*", "type": "stream", "local_subject": "x.$1"},
            {"account": other.public, "subject": "local.q", "type": "service", "to": "q", "share": True},
            {"account": other.public, "subject": "q", "type": "service", "local_subject": "other.q"},
        ],
        mappings={"a.*": [{"subject": "b.$1", "weight": 30}, {"subject": "c", "cluster": "east"}]},
    )
    admitted(world.enter(account))
    rules = world.opened[account.public]
    assert (rules.max_connections, rules.max_payload_bytes, rules.max_disk_bytes) == (5, 9, 77)
    first, second = rules.exports
    assert (first.service, first.response, first.response_seconds) == ("calc", "stream", 3.0)
    assert first.latency is not None
    assert (first.latency.subject, first.latency.sampling) == ("lat", 50)
    assert second == Export(stream="s.*", account_token_position=2)
    assert rules.imports == (
        Import(account=other.public, stream="pub.a", prefix="from.other"),
        Import(account=other.public, stream="pub.*", to="x.$1"),
        Import(account=other.public, service="q", to="local.q", share=True),
        Import(account=other.public, service="q", to="other.q"),
    )
    (destination,) = rules.mappings["a.*"]
    assert (getattr(destination, "to"), getattr(destination, "weight")) == ("b.$1", 30)  # noqa: B009


def test_accounts_may_import_from_each_other():
    world = World()
    one, other = KeyPair.new(nkeys.ACCOUNT), KeyPair.new(nkeys.ACCOUNT)
    for key, peer in ((one, other), (other, one)):
        world.account(key, exports=exports(), imports=[{"account": peer.public, "subject": "pub.x", "type": "stream"}])
    admitted(world.enter(one))
    assert [len(imported(world, key)) for key in (one, other)] == [1, 1]


@pytest.mark.parametrize(
    ("subject", "kind", "granted"),
    [
        ("pub.a", "stream", True),
        ("pub.>", "stream", True),
        ("q", "service", True),
        ("pub.a", "service", False),
        ("secret", "stream", False),
        (">", "stream", False),
    ],
)
def test_only_what_is_exported_is_imported(subject: str, kind: str, granted: bool):
    world = World()
    other = world.account(exports=exports())
    account = world.account(imports=[{"account": other.public, "subject": subject, "type": kind}])
    admitted(world.enter(account))
    assert bool(imported(world, account)) is granted


def activation(signer: KeyPair, subject: KeyPair, what: str = "priv.>", **more: Any) -> str:
    outer = {name: more.pop(name) for name in ("exp", "nbf") if name in more}
    body = {"type": "activation", "version": 2, "subject": what, "kind": "stream", **more}
    return encode(signer, {"sub": subject.public, "nats": body, **outer})


PRIVATE = {"subject": "priv.>", "type": "stream", "token_req": True}


class Activated:
    """An account with a private export, and one that wants it."""

    def __init__(self, **export: Any) -> None:
        self.world = World()
        self.signer = KeyPair.new(nkeys.ACCOUNT)
        self.exporter = self.world.account(exports=[PRIVATE | export], signing_keys=[self.signer.public])
        self.importer = KeyPair.new(nkeys.ACCOUNT)

    def granted(self, token: str, subject: str = "priv.a") -> bool:
        wanted = {"account": self.exporter.public, "subject": subject, "type": "stream", "token": token}
        self.world.account(self.importer, imports=[wanted])
        admitted(self.world.enter(self.importer))
        return bool(imported(self.world, self.importer))


def test_an_activation_token_opens_a_private_export():
    both = Activated()
    assert both.granted(activation(both.exporter, both.importer))


def test_an_activation_token_may_be_signed_by_a_signing_key():
    both = Activated()
    assert both.granted(activation(both.signer, both.importer, issuer_account=both.exporter.public))


def test_an_activation_token_is_for_one_account_one_subject_and_its_time():
    other = KeyPair.new(nkeys.ACCOUNT)
    for make in (
        lambda both: "",
        lambda both: "eyJ",
        lambda both: activation(other, both.importer),
        lambda both: activation(other, both.importer, issuer_account=both.exporter.public),
        lambda both: activation(both.signer, both.importer),
        lambda both: activation(both.exporter, other),
        lambda both: activation(both.exporter, both.importer, "priv.b"),
        lambda both: activation(both.exporter, both.importer, kind="service"),
        lambda both: activation(both.exporter, both.importer, exp=5),
        lambda both: activation(both.exporter, both.importer, nbf=int(time.time()) + 500),
    ):
        both = Activated()
        assert not both.granted(make(both))


def test_a_revoked_activation_token_opens_nothing():
    both = Activated(revocations={"*": int(time.time()) + 60})
    assert not both.granted(activation(both.exporter, both.importer))


async def test_what_a_token_opened_ends_with_it():
    both = Activated()
    world = both.world
    assert both.granted(activation(both.exporter, both.importer, exp=int(world.time) + 60))
    await world.trust.refresh()
    assert imported(world, both.importer)
    world.time += 61
    assert await world.trust.refresh() == {both.importer.public}
    assert not imported(world, both.importer)


async def test_imports_follow_the_exporter():
    world = World()
    other = KeyPair.new(nkeys.ACCOUNT)
    account = world.account(imports=[{"account": other.public, "subject": "pub.a", "type": "stream"}])
    identity = admitted(world.enter(account))
    assert not imported(world, account)
    world.account(other, exports=exports())  # It comes later.
    assert await world.trust.refresh() == {account.public, other.public}
    assert imported(world, account)
    world.account(other, exports=[])
    assert await world.trust.refresh() == {account.public, other.public}
    assert not imported(world, account)
    assert world.admission.renew(identity) == identity


def test_an_export_by_account_token_is_for_the_account_in_the_subject():
    world = World()
    other = world.account(exports=[{"subject": "to.*.>", "type": "stream", "account_token_position": 2}])
    account = KeyPair.new(nkeys.ACCOUNT)
    for name, granted in ((account.public, True), (other.public, False), ("*", False)):
        world = World()
        world.account(other, exports=[{"subject": "to.*.>", "type": "stream", "account_token_position": 2}])
        world.account(account, imports=[{"account": other.public, "subject": f"to.{name}.x", "type": "stream"}])
        admitted(world.enter(account))
        assert bool(imported(world, account)) is granted


# Operators.


@pytest.mark.parametrize(
    ("kind", "claims"),
    [("operator", {"signing_keys": ["A"]}), ("account", {})],
)
def test_an_operator_that_cannot_be_used_is_refused(kind: str, claims: dict[str, Any]):
    operator = KeyPair.new(nkeys.OPERATOR)
    with pytest.raises(JwtError):
        TrustedOperator(encode(operator, {"sub": operator.public, "nats": {"type": kind, "version": 2, **claims}}))


def test_who_signs_for_itself_is_no_account():
    world = World()
    account = KeyPair.new(nkeys.ACCOUNT)
    world.account(account, signer=account)
    refused(world.enter(account))


LAVISH = {
    "networks": {"src": ["10.0.0.7/32"] * (MOST_NETWORKS + 1)},
    "times of the day": {"times": [{"start": "00:00:00", "end": "23:59:59"}] * (MOST_HOURS + 1)},
    "subjects": {"pub": {"allow": ["a"] * MOST_SUBJECTS}, "sub": {"deny": ["b"]}},
}


@pytest.mark.parametrize("what", LAVISH)
def test_a_token_that_takes_long_to_hold_is_refused(what: str):
    world = World()
    reason = refused(world.enter(world.account(), **LAVISH[what]))
    assert reason.startswith("the JWT names more than ")
    assert reason.endswith(what)


@pytest.mark.parametrize("what", LAVISH)
def test_what_a_stranger_grants_himself_is_not_read(what: str):
    """Anybody can sign a token of an account that there is not."""
    world = World()
    granted = {"src": ["none"], "times": [{"start": "?", "end": "?"}], "pub": {"allow": [".."]}} | LAVISH[what]
    assert refused(world.enter(KeyPair.new(nkeys.ACCOUNT), **granted)).endswith("not known here")


def test_an_account_whose_users_would_have_too_many_subjects_is_none():
    world = World()
    account = world.account(default_permissions={"sub": {"allow": ["a"] * (MOST_SUBJECTS + 1)}})
    assert refused(world.enter(account)).endswith("not known here")
