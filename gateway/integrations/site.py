"""Site: what an integration may have of the gateway, and the error by which it says that it cannot go on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.accounts.account import Account
from gateway.errors import GatewayError
from gateway.runtime.runtime import Runtime
from gateway.streams.account_streams import AccountStreams


class IntegrationError(GatewayError):
    """The other side is away, or refuses. The sentence goes into the log, /healthz and `last_error`. Where time alone
    does not heal it (a wrong password), it is `lasting`, and tried again as seldom as that is done at all.
    """

    def __init__(self, sentence: str, lasting: bool = False) -> None:
        super().__init__(sentence)
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Site:
    """`find_account` finds an account by its name, `streams_of` the streams of one; None where there are none yet."""

    runtime: Runtime
    find_account: Callable[[str], Awaitable[Account | None]]
    streams_of: Callable[[str], AccountStreams | None]


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first; defects before everything else."""
    leaves: list[BaseException] = []
    rest: list[BaseException] = [group]
    while rest:
        one = rest.pop()
        if isinstance(one, BaseExceptionGroup):
            rest += one.exceptions
        else:
            leaves.append(one)
    return next((one for one in leaves if not isinstance(one, IntegrationError)), leaves[-1])
