"""Sharing: what accounts take from each other, and the rules that each holds, kept as they are configured."""

import logging
from collections.abc import Mapping, Sequence

from gateway.accounts.account import Account
from gateway.accounts.mappings import Mappings
from gateway.accounts.service_import import Answers, ServiceImport
from gateway.accounts.stream_import import StreamImport
from gateway.runtime.runtime import Runtime
from gateway.settings.security import AccountRules, Export, Import
from gateway.settings.sharing_rules import export_of

log = logging.getLogger("leafgate.accounts")

# Importer, exporter, and what both say.
Key = tuple[str, str, Import, Export]


class Sharing:
    """Puts rules into force between accounts, and others later: what did not change goes on as it was."""

    def __init__(self, runtime: Runtime, accounts: Mapping[str, Account]) -> None:
        self._runtime = runtime
        self._accounts = accounts
        self._imports: dict[Key, StreamImport | ServiceImport] = {}

    def apply(self, rules: Sequence[AccountRules]) -> None:
        """Hold these rules. Every account in them is there; what is not sound in them is told and left out."""
        named = {one.name: one for one in rules}
        wanted = [key for one in rules for key in _imports_of(one, named)]
        for key in self._imports.keys() - set(wanted):
            self._imports.pop(key).close()
        for name, account in self._accounts.items():
            self._hold(account, named.get(name) or AccountRules(name=name))
        for key in wanted:
            if key not in self._imports:
                try:
                    made = self._make(*key)
                except ValueError as error:  # Of a token: the file has been checked.
                    log.warning("account=%s event=bad-import from=%s reason=%r", key[0], key[1], str(error))
                    continue
                self._imports[key] = made
                made.open()

    def _hold(self, account: Account, rules: AccountRules) -> None:
        if rules.mappings != account.rules.mappings:
            try:
                account.router.mapper = Mappings(rules.mappings) if rules.mappings else None
            except ValueError as error:  # As above.
                account.router.mapper = None
                log.warning("account=%s event=bad-mapping reason=%r", account.name, str(error))
        account.rules = rules

    def _make(self, importer: str, exporter: str, rules: Import, export: Export) -> StreamImport | ServiceImport:
        takes, gives = self._accounts[importer], self._accounts[exporter]
        if rules.stream:
            return StreamImport(takes, gives, rules)
        for account in (takes, gives):
            if account.answers is None:
                account.answers = Answers(self._runtime, account)
        return ServiceImport(self._runtime, takes, gives, rules, export)


def _imports_of(account: AccountRules, named: Mapping[str, AccountRules]) -> list[Key]:
    """The imports of an account, each with what it takes from; one that nobody exports to it is none."""
    found: list[Key] = []
    for rules in account.imports:
        exporter = named.get(rules.account)
        export = export_of(exporter, account.name, rules) if exporter is not None else None
        if export is not None:
            found.append((account.name, rules.account, rules, export))
    return found
