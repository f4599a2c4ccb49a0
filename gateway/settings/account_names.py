"""Names of accounts: those that are always there, and whether one that is named somewhere is."""

from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.settings.checks import check_unique
from gateway.settings.file import KeyedValueError
from gateway.settings.security import AccountRules, Authentication

# The account of those for whom none is named, and the one that hears of the gateway itself.
DEFAULT_ACCOUNT = "$G"
SYSTEM_ACCOUNT = "$SYS"


class AccountNames:
    """The accounts of a configuration. An empty name is that of the default one; with an operator there are more than
    the file names, so that any name may be one.
    """

    def __init__(self, accounts: Iterable[AccountRules], authentication: Authentication) -> None:
        self.always = (DEFAULT_ACCOUNT, authentication.system_account or SYSTEM_ACCOUNT)
        self.for_clients = frozenset(("", DEFAULT_ACCOUNT, *(one.name for one in accounts)))
        self.all = self.for_clients | set(self.always)
        self._are_told = not authentication.operator

    def check(self, key: str, name: str) -> None:
        """It is there. Raises KeyedValueError."""
        if self._are_told and name not in self.all:
            raise KeyedValueError(key, f"there is no account {name!r}")

    def check_for_clients(self, key: str, name: str) -> None:
        """It is there, and not the system's. Raises KeyedValueError."""
        if self._are_told and name not in self.for_clients:
            raise KeyedValueError(key, f"there is no account {name!r}")


class OfAccount(Protocol):
    """An element of a list that has a name there, and is of an account."""

    @property
    def name(self) -> str: ...
    @property
    def account(self) -> str: ...


def check_elements(key: str, elements: Iterable[OfAccount], check_account: Callable[[str, str], None]) -> None:
    """Each has a name of its own, and is of an account that is there. Raises KeyedValueError."""
    places: dict[str, str] = {}
    for index, one in enumerate(elements):
        check_unique(places, one.name, f"{key}[{index}].name")
        check_account(f"{key}[{index}].account", one.account)
