"""Trust by JWTs: an operator vouches for accounts, and each account for its users.

Nobody is listed here. Who comes brings a token of an account, whose own token an operator has signed, and proves with
its NKey that it is the one that the token speaks of.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import trio

from gateway.accounts import nkeys
from gateway.accounts.account import Account
from gateway.accounts.callout_request import without_requests
from gateway.accounts.claim_rules import (
    account_rules,
    check_account,
    check_user,
    exporter_subject,
    in_hours,
    is_from,
    limit_of,
    may_connect_as,
    permission_rules,
)
from gateway.accounts.identity import Credentials, Decision, Identity, PeerLimits, Refusal
from gateway.accounts.jwt import (
    EVERYBODY,
    NO_LIMIT,
    AccountClaims,
    ActivationClaims,
    Export,
    Grant,
    Import,
    JwtError,
    OperatorClaims,
    Role,
    UserClaims,
    decode,
    is_revoked,
)
from gateway.accounts.permissions import EVERYTHING, Permissions
from gateway.accounts.resolver import Resolver, ResolverError
from gateway.accounts.role_templates import Subject, fill_in
from gateway.accounts.token_proof import TokenProof, decode_proof
from gateway.settings.listener import Listener
from gateway.settings.security import AccountRules, PermissionRules
from protocols.subjects import is_subset

log = logging.getLogger("leafgate.accounts")

# What live connections are told, in nats-server's words.
REVOKED = "User Authentication Revoked"
ACCOUNT_EXPIRED = "Account Authentication Expired"
# How often changes of tokens, and their ends, are looked for.
REFRESH_SECONDS = 2.0
# Files of tokens that are read at a time.
READERS = 2
# Accounts that one account may bring with it, by its imports and theirs.
MOST_BROUGHT = 4096

OpenAccount = Callable[[str, AccountRules], Account]
MakePermissions = Callable[[PermissionRules | None], Permissions]


class Delegate(Protocol):
    """A service of an account that decides who its users are (gateway.accounts.callout)."""

    def decide(self, credentials: Credentials, account: "TrustedAccount") -> Awaitable[Decision]: ...


class TrustedOperator:
    """An operator: whose signature accounts need, by its own token. Raises JwtError for one that cannot be used."""

    def __init__(self, token: str, system_account: str = "", now: float | None = None) -> None:
        claims = decode(token, OperatorClaims)
        claims.check_time(time.time() if now is None else now)
        keys = set(claims.operator.signing_keys)
        if not all(nkeys.is_public(key, nkeys.OPERATOR) for key in (*keys, claims.subject)):
            raise JwtError("the operator's JWT names a key that is none of an operator")
        self.public = claims.subject
        # Where only signing keys may be used, accounts that they signed are held to the same.
        self.strict = claims.operator.strict_signing_key_usage
        self.signing_keys = frozenset(keys)
        self.trusted = self.signing_keys if self.strict else self.signing_keys | {claims.subject}
        self.system_account = system_account or claims.operator.system_account

    def is_same(self, other: "TrustedOperator") -> bool:
        """Whether both trust the same."""
        return (self.public, self.strict, self.trusted) == (other.public, other.strict, other.trusted)

    def read_account(self, token: str, now: float) -> AccountClaims:
        """The claims of an account's token, where the operator signed it and it is valid. Raises JwtError."""
        claims = decode(token, AccountClaims)
        if not nkeys.is_public(claims.subject, nkeys.ACCOUNT):
            raise JwtError("the account's JWT is about no account")
        if claims.issuer not in self.trusted:
            raise JwtError("the account's JWT is signed by no operator that is trusted")
        claims.check_time(now)
        check_account(claims)
        return claims


@dataclass(slots=True)
class TrustedAccount:
    """An account that an operator vouches for, as its token says."""

    public: str
    claims: AccountClaims
    signers: dict[str, Role | None]
    account: Account | None = None
    rules: AccountRules | None = None
    # When the next of the tokens ends by which it imports something (seconds since 1970; 0: none does).
    due: float = 0.0

    @property
    def name(self) -> str:
        """What people call it."""
        return self.claims.name or self.public


@dataclass(slots=True)
class Found:
    """Tokens that were fetched: accounts that are trusted, and why others are not."""

    accounts: dict[str, AccountClaims] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class JwtAdmission:
    """Admits who brings a user's token (gateway.accounts.admission.Admission).

    `open_account` makes the account of a public key, or puts other rules in force for it: it is called once without
    imports, and again with those of accounts that are open by then. `changed` is called when the standing of peers that
    were admitted earlier may be another (`renew`). `delegate` asks services of accounts that decide themselves.
    """

    def __init__(
        self,
        operator: TrustedOperator,
        resolver: Resolver,
        open_account: OpenAccount,
        make_permissions: MakePermissions,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.operator = operator
        self.resolver = resolver
        self.changed = changed
        self.delegate: Delegate | None = None
        self.accounts: dict[str, TrustedAccount] = {}
        self._open_account = open_account
        self._make_permissions = make_permissions
        self._clock = clock
        self._readers = trio.CapacityLimiter(READERS)
        # All tokens are to be looked at anew.
        self._is_other = False

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        """Nobody: everybody brings a token."""
        return None

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        """Who a peer is by its token; it takes time where the token of its account is not here yet."""
        if not credentials.jwt:
            return Refusal("a JWT of a user is needed")
        try:
            claims = decode(credentials.jwt, UserClaims)
            claims.check_time(self._clock())
            check_user(claims.user)
            if claims.user.proxy_required:
                raise JwtError("the JWT requires a proxy")
        except JwtError as error:
            return Refusal(str(error))
        public = claims.user.issuer_account or claims.issuer
        if public not in self.accounts:
            if not self.resolver.is_immediate:
                return self._admit_later(public, claims, credentials)
            self._install(self._fetch([public], frozenset(self.accounts)))
        return self._admit_to(public, claims, credentials)

    def renew(self, identity: Identity) -> Decision:
        """Who somebody is now by the token that it brought."""
        proof = identity.proof
        return self._renew(proof) if isinstance(proof, TokenProof) else Refusal("it was admitted by no JWT")

    def recall(self, kept: bytes, user: str) -> Decision:
        """Who somebody is now who is away, by what was kept of the token that it brought."""
        proof = decode_proof(kept)
        return self._renew(proof) if proof is not None else Refusal("nothing is known of its JWT")

    def _renew(self, proof: TokenProof) -> Decision:
        trusted = self.accounts.get(proof.claims.user.issuer_account or proof.claims.issuer)
        if trusted is None:
            return Refusal("its account is gone", told=ACCOUNT_EXPIRED)
        return self._decide(trusted, proof, None)

    def open_now(self, publics: Iterable[str]) -> None:
        """Open these accounts, where their tokens are good, reading files at once: for the start."""
        self._install(self._fetch(publics, frozenset(self.accounts)))

    async def load_account(self, public: str) -> Account | None:
        """The account of a public key, which is opened if it need be; None where it has no good token."""
        if public not in self.accounts:
            self._install(await self._fetch_in_thread([public]))
        trusted = self.accounts.get(public)
        return trusted.account if trusted is not None else None

    async def foresee(self, publics: list[str], operator: TrustedOperator, resolver: Resolver) -> Found:
        """What these accounts, of which none is open, are to an operator and a resolver that may come to be ours."""
        known = frozenset(self.accounts)
        if resolver.is_immediate:
            return fetch(publics, known, operator, resolver, self._clock())
        return await trio.to_thread.run_sync(
            fetch, publics, known, operator, resolver, self._clock(), limiter=self._readers
        )

    def open_foreseen(self, found: Found) -> None:
        """Open those accounts, now that it has come so."""
        self._install(found)

    def replace_operator(self, operator: TrustedOperator) -> None:
        """Trust another token of the operator's; `refresh` holds what is known to it."""
        self.operator = operator
        self._is_other = True

    async def refresh(self) -> set[str]:
        """Take up tokens that have changed, been removed or come to their end; returns the accounts that differ."""
        known = list(self.accounts)
        if self.resolver.is_immediate:
            differing = self.resolver.changed(known)
        else:
            differing = await trio.to_thread.run_sync(self.resolver.changed, known, limiter=self._readers)
        if self._is_other:
            self._is_other = False
            differing |= set(known)
        now = self._clock()
        differing |= {one.public for one in self.accounts.values() if 0 < one.claims.expires <= now}
        changed: set[str] = set()
        if differing:
            # What they import comes along; what they were is known and is replaced.
            found = await self._fetch_in_thread(sorted(differing), frozenset(known) - differing)
            for public in (differing & self.accounts.keys()) - found.accounts.keys():
                self._remove(public, found.refused.get(public, "its JWT is gone"))
                changed.add(public)
            changed |= self._install(found)
        lapsed = {one.public for one in self.accounts.values() if 0 < one.due <= now}
        waiting = self._waiting_for_exporters()
        if waiting:
            changed |= self._install(await self._fetch_in_thread(sorted(waiting)))
        changed |= self._share((lapsed & self.accounts.keys()) | self._importers_of(changed))
        if changed:
            log.info("event=accounts-changed accounts=%d", len(changed))
            self.changed()
        return changed

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    async def run(self) -> None:
        """Refresh for ever."""
        while True:
            await trio.sleep(REFRESH_SECONDS)
            await self.refresh()

    # Users.

    async def _admit_later(self, public: str, claims: UserClaims, credentials: Credentials) -> Decision:
        self._install(await self._fetch_in_thread([public]))
        decision = self._admit_to(public, claims, credentials)
        return decision if isinstance(decision, Identity | Refusal) else await decision

    def _admit_to(self, public: str, claims: UserClaims, credentials: Credentials) -> Decision | Awaitable[Decision]:
        trusted = self.accounts.get(public)
        if trusted is None:
            return Refusal("the JWT is of an account that is not known here")
        outside = trusted.claims.account.authorization.auth_users
        if outside and claims.subject not in outside:
            if self.delegate is None:
                return Refusal("the account leaves it to a service who its users are, and none is asked here")
            return self.delegate.decide(credentials, trusted)
        return self._decide(trusted, TokenProof(claims, credentials.kind, credentials.address), credentials)

    def admit_answered(self, claims: UserClaims, credentials: Credentials, asked: TrustedAccount) -> Decision:
        """Who a peer is by the token that a service made for it. Of which accounts, the account that asked says."""
        public = claims.user.issuer_account or claims.issuer
        allowed = asked.claims.account.authorization.allowed_accounts
        if public != asked.public and public not in allowed and EVERYBODY not in allowed:
            return Refusal("the service answered with a user of an account that it may not give")
        trusted = self.accounts.get(public)
        if trusted is None:
            return Refusal("the service answered with a user of an account that is not known here")
        proof = TokenProof(claims, credentials.kind, credentials.address, answered=True)
        decision = self._decide(trusted, proof, None)
        if isinstance(decision, Identity) and claims.name:
            return replace(decision, user=claims.name)
        return decision

    def _decide(self, trusted: TrustedAccount, proof: TokenProof, credentials: Credentials | None) -> Decision:
        """All that a token is held to, in nats-server's order; without `credentials` the signature of the nonce is no
        question any more.
        """
        claims, now = proof.claims, self._clock()
        account = trusted.claims.account
        try:
            claims.check_time(now)
            grant = self._grant(trusted, claims)
            trusted.claims.check_time(now)
        except JwtError as error:
            return Refusal(str(error))
        if grant.bearer_token and account.limits.disallow_bearer:
            return Refusal("the account takes no bearer tokens")
        if not may_connect_as(proof.kind, grant):
            return Refusal("the JWT is not for this kind of connection")
        if credentials is not None and not grant.bearer_token and not signed_nonce(claims.subject, credentials):
            return Refusal("the nonce is not signed by the user of the JWT")
        if is_revoked(account.revocations, claims.subject, claims.issued_at):
            return Refusal("the JWT is revoked", told=REVOKED)
        try:
            if not is_from(grant.networks, proof.address):
                return Refusal("the JWT is not for this address")
            until = in_hours(grant.times, grant.times_location, now)
            rules = permission_rules(grant) or permission_rules(account.default_permissions)
        except JwtError as error:
            return Refusal(str(error))
        if until is None:
            return Refusal("the JWT is not for this time of the day")
        limits = account.limits
        own = (NO_LIMIT, NO_LIMIT) if proof.answered else (grant.subs, grant.payload)
        if account.authorization.auth_users:
            rules = without_requests(rules)
        assert trusted.account is not None
        return Identity(
            trusted.account,
            user=claims.subject,
            permissions=self._make_permissions(rules) if rules is not None else EVERYTHING,
            limits=PeerLimits(
                max_subscriptions=limit_of(own[0], limits.subs),
                max_payload_bytes=limit_of(own[1], limits.payload),
            ),
            expires=min((float(one) for one in (claims.expires, trusted.claims.expires, until) if one), default=0.0),
            proof=proof,
        )

    def _grant(self, trusted: TrustedAccount, claims: UserClaims) -> Grant:
        """What the user may: what its token says, or the role of the key that signed it. Raises JwtError."""
        if claims.issuer not in trusted.signers:
            raise JwtError("the JWT is signed by no key of its account")
        if not nkeys.is_public(claims.subject, nkeys.USER):
            raise JwtError("the JWT is about no user")
        role = trusted.signers[claims.issuer]
        if role is None:
            return claims.user
        if not claims.user.is_empty():
            raise JwtError("the JWT grants something, though the role of its key says what it may")
        about = Subject(
            name=claims.name,
            key=claims.subject,
            tags=claims.user.tags,
            account_name=trusted.name,
            account_key=claims.user.issuer_account,
            account_tags=trusted.claims.account.tags,
        )
        grant = fill_in(role.template, about)
        if grant.proxy_required:
            raise JwtError("the JWT requires a proxy")
        return grant

    # Accounts.

    async def _fetch_in_thread(self, publics: list[str], known: frozenset[str] | None = None) -> Found:
        known = frozenset(self.accounts) if known is None else known
        if self.resolver.is_immediate:
            return self._fetch(publics, known)
        return await trio.to_thread.run_sync(self._fetch, publics, known, limiter=self._readers)

    def _fetch(self, publics: Iterable[str], known: frozenset[str]) -> Found:
        return fetch(publics, known, self.operator, self.resolver, self._clock())

    def _install(self, found: Found) -> set[str]:
        """Open what was found; returns the accounts that differ from what they were."""
        differing: set[str] = set()
        for public, claims in found.accounts.items():
            trusted = self.accounts.get(public)
            signers = _signers(claims, self.operator)
            if trusted is not None and (trusted.claims, trusted.signers) == (claims, signers):
                continue
            if trusted is None:
                trusted = self.accounts[public] = TrustedAccount(public, claims, signers)
                trusted.rules = account_rules(claims, ())
                trusted.account = self._open_account(public, trusted.rules)
            else:
                trusted.claims, trusted.signers = claims, signers
            differing.add(public)
        self._share(differing)
        for public, reason in found.refused.items():
            log.debug("account=%s event=not-trusted reason=%r", public, reason)
        return differing

    def _share(self, publics: Iterable[str]) -> set[str]:
        """Put an account's rules in force where they are other ones, now that tokens have come, changed or ended."""
        differing: set[str] = set()
        for public in publics:
            trusted = self.accounts[public]
            granted, trusted.due = self._granted_imports(trusted)
            rules = account_rules(trusted.claims, granted)
            if rules != trusted.rules:
                trusted.rules = rules
                trusted.account = self._open_account(public, rules)
                differing.add(public)
        return differing

    def _granted_imports(self, trusted: TrustedAccount) -> tuple[list[Import], float]:
        """The imports of an account that the exporters' tokens grant, and when the first of those grants ends."""
        granted: list[Import] = []
        due = 0.0
        for one in trusted.claims.account.imports:
            exporter = self.accounts.get(one.account)
            try:
                if exporter is None:
                    raise JwtError("the account that exports it is not known here")
                until = check_import(one, trusted.public, exporter.claims, self._clock())
            except JwtError as error:
                log.warning(
                    "account=%s event=not-imported from=%s subject=%r reason=%r",
                    trusted.public,
                    one.account,
                    one.subject,
                    str(error),
                )
                continue
            granted.append(one)
            due = min(filter(None, (due, until)), default=0.0)
        return granted, due

    def _importers_of(self, publics: set[str]) -> set[str]:
        return {
            one.public
            for one in self.accounts.values()
            if not publics.isdisjoint(wanted.account for wanted in one.claims.account.imports)
        }

    def _waiting_for_exporters(self) -> set[str]:
        """Accounts that somebody imports from and that are not here."""
        return {public for one in self.accounts.values() for public in _exporters(one)} - self.accounts.keys()

    def _remove(self, public: str, reason: str) -> None:
        """An account that is no more: it shares nothing, and nobody is in it who asks again."""
        del self.accounts[public]
        self._open_account(public, AccountRules(name=public))
        log.warning("account=%s event=account-removed reason=%r", public, reason)


def fetch(
    publics: Iterable[str], known: frozenset[str], operator: TrustedOperator, resolver: Resolver, now: float
) -> Found:
    """The tokens of these accounts, and of all from which they import, but of those that are known."""
    found = Found()
    wanted = list(publics)
    while wanted and len(found.accounts) + len(found.refused) < MOST_BROUGHT:
        public = wanted.pop()
        if public in known or public in found.accounts or public in found.refused:
            continue
        try:
            token = resolver.fetch(public)
            if token is None:
                raise JwtError("it has no JWT here")
            claims = operator.read_account(token, now)
            if claims.subject != public:
                raise JwtError("its JWT is another account's")
        except (JwtError, ResolverError) as error:
            found.refused[public] = str(error)
            continue
        found.accounts[public] = claims
        wanted += [one.account for one in claims.account.imports]
    return found


def signed_nonce(public: str, credentials: Credentials) -> bool:
    """Whether a peer signed its challenge with the key of this user."""
    return bool(credentials.nonce) and nkeys.verify_text(public, credentials.nonce, credentials.signature)


def check_import(one: Import, importer: str, exporter: AccountClaims, now: float) -> float:
    """Until when an account may import this (seconds since 1970; 0: as long as it is exported). Raises JwtError."""
    subject = exporter_subject(one)
    export = _export_of(exporter, one.type, subject)
    if export is None:
        raise JwtError("the other account exports no such thing")
    position = export.account_token_position
    if position:
        tokens = subject.split(".")
        if position > len(tokens) or tokens[position - 1] != importer:
            raise JwtError(f"token {position} of its subject must be the account that imports it")
        return 0.0
    if not export.token_req:
        return 0.0
    if not one.token:
        raise JwtError("it is private, and there is no activation token")
    act = decode(one.token, ActivationClaims)
    act.check_time(now)
    said = act.activation
    if exporter.subject not in (act.issuer, said.issuer_account):
        raise JwtError("the activation token is of another account")
    if act.issuer != exporter.subject and act.issuer not in _keys_of(exporter):
        raise JwtError("the activation token is signed by no key of the account that exports it")
    if act.subject != importer:
        raise JwtError("the activation token is for another account")
    if said.kind != one.type or not is_subset(subject.encode(), said.subject.encode()):
        raise JwtError("the activation token is for another subject")
    if is_revoked(export.revocations, act.subject, act.issued_at):
        raise JwtError("the activation token is revoked")
    return float(act.expires)


def _export_of(exporter: AccountClaims, kind: str, subject: str) -> Export | None:
    """The export of this very subject, or else one that holds it."""
    ours = [one for one in exporter.account.exports if one.type == kind]
    exact = [one for one in ours if one.subject == subject]
    wider = [one for one in ours if is_subset(subject.encode(), one.subject.encode())]
    return next(iter(exact or wider), None)


def _exporters(trusted: TrustedAccount) -> Iterator[str]:
    return (one.account for one in trusted.claims.account.imports)


def _keys_of(claims: AccountClaims) -> set[str]:
    return {key if isinstance(key, str) else key.key for key in claims.account.signing_keys}


def _signers(claims: AccountClaims, operator: TrustedOperator) -> dict[str, Role | None]:
    """The keys that may sign the account's users, and the roles of those that have one."""
    signers: dict[str, Role | None] = {}
    for key in claims.account.signing_keys:
        if isinstance(key, str):
            signers[key] = None
        else:
            signers[key.key] = key
    if not (operator.strict and claims.issuer in operator.signing_keys):
        signers[claims.subject] = None
    return signers
