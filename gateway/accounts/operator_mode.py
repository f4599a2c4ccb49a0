"""Operator mode: the trust by JWTs that a configuration asks for, read from where it says they are."""

import time
from collections.abc import Callable, Container, Mapping, Sequence

import trio

from gateway.accounts.credentials_file import undecorated
from gateway.accounts.jwt import LONGEST, JwtError
from gateway.accounts.resolver import DirectoryResolver, MemoryResolver, Resolver, ResolverError
from gateway.accounts.trust import Found, OpenAccount, TrustedAccounts
from gateway.accounts.trusted_operator import TrustedOperator
from gateway.errors import ConfigError
from gateway.settings.bridge import Bridge
from gateway.settings.paths import path_of
from gateway.settings.schema import Config
from gateway.settings.security import Authentication
from gateway.settings.security import Resolver as ResolverConfig
from gateway.settings.uplink import Uplink

BEGIN_OF_JWT = "eyJ"


def make_trust(
    config: Authentication,
    open_account: OpenAccount,
    clock: Callable[[], float] = time.time,
) -> TrustedAccounts:
    """The accounts of the configured operator, all open whose JWTs are there. Raises ConfigError."""
    import nacl.signing  # noqa: F401 - it takes its time, which the first client shall not wait for

    operator = open_operator(config, clock())
    assert config.resolver is not None
    try:
        resolver = make_resolver(config.resolver)
        trust = TrustedAccounts(operator, resolver, open_account, clock=clock)
        trust.open_now(resolver.accounts())
    except ResolverError as error:
        raise ConfigError(f"authentication.resolver: {error}") from None
    return trust


def open_operator(config: Authentication, now: float | None = None) -> TrustedOperator:
    """The configured operator. Blocks for the disk; raises ConfigError."""
    try:
        return TrustedOperator(read_operator(config.operator), config.system_account, now)
    except (JwtError, OSError) as error:
        reason = (error.strerror or "").lower() if isinstance(error, OSError) else str(error)
        raise ConfigError(f"authentication.operator: {reason}") from None


class TrustPart:
    """The operator and the accounts of the configuration (gateway.reloading.reloader.Part). The file of the operator is
    read again even where the configuration says the same. Where links to hubs or brokers change, their accounts are
    opened with it, be it that none of `accounts`, those that are open, is theirs yet.
    """

    def __init__(self, trust: TrustedAccounts, accounts: Mapping[str, object]) -> None:
        self._trust = trust
        self._accounts = accounts

    async def prepare(self, old: Config, new: Config) -> "TrustChange":
        config = new.authentication
        operator = await trio.to_thread.run_sync(open_operator, config)
        known = self._trust.operator
        if operator.system_account != known.system_account:
            raise ConfigError("authentication.operator: it names another system account; restart the gateway")
        assert config.resolver is not None
        resolver: Resolver = self._trust.resolver
        preload = None
        if isinstance(resolver, MemoryResolver):
            preload = config.resolver.preload
            resolver = MemoryResolver(preload)
        elif old.authentication.resolver != config.resolver:
            where = config.resolver.directory
            raise ConfigError(f"authentication.resolver.preload: the accounts are in {where}; put them there")
        found = await self._find_link_accounts(old, new, operator, resolver)
        return TrustChange(self._trust, operator, preload, found)

    async def _find_link_accounts(
        self, old: Config, new: Config, operator: TrustedOperator, resolver: Resolver
    ) -> Found:
        changed: dict[str, Sequence[Uplink | Bridge]] = {}
        if old.uplinks != new.uplinks:
            changed["uplinks"] = new.uplinks
        if old.bridges != new.bridges:
            changed["bridges"] = new.bridges
        wanted = {link.account for links in changed.values() for link in links if link.account}
        found = await self._trust.foresee(sorted(wanted - self._accounts.keys()), operator, resolver)
        for key, links in changed.items():
            check_link_accounts(key, links, self._accounts.keys() | found.accounts.keys())
        return found


class TrustChange:
    """Another token of the operator's, and other accounts, which the next refresh takes up but for those `found`."""

    def __init__(
        self, trust: TrustedAccounts, operator: TrustedOperator, preload: dict[str, str] | None, found: Found
    ) -> None:
        self._trust = trust
        self._operator = operator
        self._preload = preload
        self._found = found

    def apply(self) -> None:
        if not self._operator.is_same(self._trust.operator):
            self._trust.replace_operator(self._operator)
        if self._preload is not None and isinstance(self._trust.resolver, MemoryResolver):
            self._trust.resolver.preload = self._preload
        self._trust.open_foreseen(self._found)

    def abandon(self) -> None:
        """Nothing was changed."""


def check_link_accounts(key: str, links: Sequence[Uplink | Bridge], accounts: Container[str]) -> None:
    """Whether the accounts of links are open, which no configuration lists; `key` is theirs. Raises ConfigError."""
    for index, link in enumerate(links):
        if link.account and link.account not in accounts:
            raise ConfigError(f"{key}[{index}].account: there is no JWT of account {link.account}")


def read_operator(configured: str) -> str:
    """The operator's JWT, of itself or in a file, there perhaps between lines of dashes. Raises OSError, JwtError."""
    if configured.startswith(BEGIN_OF_JWT):
        return configured
    with path_of(configured).open("rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise JwtError("the file is too long for a JWT")
    return undecorated(content.decode("ascii", "replace"))


def make_resolver(config: ResolverConfig) -> Resolver:
    """Where the accounts' JWTs are; those of the configuration are put into the directory that has none of them. Raises
    ResolverError.
    """
    if not config.directory:
        return MemoryResolver(config.preload)
    directory = path_of(config.directory)
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise ResolverError(f"{directory} cannot be made: {(error.strerror or '').lower()}") from None
    resolver = DirectoryResolver(directory)
    for public, token in config.preload.items():
        if resolver.fetch(public) is None:
            resolver.save(public, token)
    return resolver
