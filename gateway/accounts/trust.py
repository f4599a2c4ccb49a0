"""Trust by JWTs: an operator vouches for accounts, by a token of each that it has signed.

What the accounts import of each other is in force as long as their tokens say so. Users are not listed here
(gateway.accounts.jwt_admission).
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import trio

from gateway.accounts.account import Account
from gateway.accounts.claim_rules import account_rules
from gateway.accounts.import_grants import check_import
from gateway.accounts.jwt import AccountClaims, Import, JwtError, Role
from gateway.accounts.resolver import Resolver, ResolverError
from gateway.accounts.trusted_operator import TrustedOperator
from gateway.settings.security import AccountRules

log = logging.getLogger("leafgate.accounts")

# How often changes of tokens, and their ends, are looked for.
REFRESH_SECONDS = 2.0
# Files of tokens that are read at a time.
READERS = 2
# Accounts that one account may bring with it, by its imports and theirs.
MOST_BROUGHT = 4096

OpenAccount = Callable[[str, AccountRules], Account]


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


class TrustedAccounts:
    """The accounts that are open because an operator vouches for them, by their public keys.

    `open_account` makes the account of a public key, or puts other rules in force for it: it is called once without
    imports, and again with those of accounts that are open by then. `changed` is called when the standing of peers that
    were admitted earlier may be another. `clock` is in seconds since 1970.
    """

    def __init__(
        self,
        operator: TrustedOperator,
        resolver: Resolver,
        open_account: OpenAccount,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.operator = operator
        self.resolver = resolver
        self.changed = changed
        self.accounts: dict[str, TrustedAccount] = {}
        self._open_account = open_account
        self._clock = clock
        self._readers = trio.CapacityLimiter(READERS)
        # All tokens are to be looked at anew.
        self._is_other = False

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


def _exporters(trusted: TrustedAccount) -> Iterator[str]:
    return (one.account for one in trusted.claims.account.imports)


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
