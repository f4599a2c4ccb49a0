"""Watching: the samples of subjects are taken while somebody asks for them, and not a moment longer than needed."""

import trio

from gateway.accounts.account import Account
from gateway.accounts.permissions import Permissions
from gateway.console.subject_samples import SAMPLE_BYTES, SubjectSamples
from gateway.runtime.runtime import Runtime

# A page asks each second; one that is gone says nothing.
PATIENCE_SECONDS = 15.0
# Those who may hear the same share what is sampled; of others so many may look at a time.
MOST_AT_A_TIME = 4

Key = tuple[Account, Permissions]


class Watching:
    """The samples of all accounts."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._samples: dict[Key, SubjectSamples] = {}
        self._asked: dict[Key, float] = {}
        runtime.budget.elsewhere["console"] = self._bytes

    def samples(self, account: Account, permissions: Permissions) -> SubjectSamples | None:
        """What somebody with these permissions sees in an account, from now on; None where too many look."""
        key = account, permissions
        now = trio.current_time()
        found = self._samples.get(key)
        if found is None:
            if len(self._samples) >= MOST_AT_A_TIME:
                return None
            found = self._samples[key] = SubjectSamples(permissions)
            account.router.subscribe(found)
            self._runtime.deadlines.call_at(now + PATIENCE_SECONDS, self._look)
        self._asked[key] = now
        return found

    def _look(self, now: float) -> None:
        """End what nobody asks for any more."""
        for key in [key for key, asked in self._asked.items() if now - asked >= PATIENCE_SECONDS]:
            key[0].router.unsubscribe(self._samples.pop(key))
            del self._asked[key]
        if self._samples:
            self._runtime.deadlines.call_at(now + PATIENCE_SECONDS, self._look)

    def _bytes(self) -> int:
        return sum(SAMPLE_BYTES * len(one) for one in self._samples.values())
