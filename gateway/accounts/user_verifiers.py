"""User verifiers: what SCRAM needs of the users of the configuration."""

import os
from collections.abc import Awaitable, Collection

import trio

from gateway.accounts.scram import SALT_BYTES, Verifier, make_verifier, mock_verifier, parse_verifier
from gateway.settings.credential_forms import LEAST_ITERATIONS, is_hash
from gateway.settings.security import User

# So many are made from plain passwords at once.
AT_ONCE = 2


class UserVerifiers:
    """Verifiers as they are configured, or made of plain passwords when they are first asked for."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        # Of each user one, by the user as it is configured.
        self._made: dict[User, Verifier] = {}
        self._iterations = LEAST_ITERATIONS
        # Whether anybody may log in by SCRAM.
        self.there_are_some = False

    def expect(self, users: Collection[User]) -> None:
        """These are all the users there are. Those who are as they were keep their verifiers."""
        before, self._made = self._made, {}
        self.there_are_some = any(map(has_verifier, users))
        self._iterations = LEAST_ITERATIONS
        for user in users:
            if user.scram is not None:
                verifier = self._made[user] = parse_verifier(user.scram.value)
                self._iterations = verifier.iterations
            elif user in before:
                self._made[user] = before[user]

    def known(self, user: User) -> Verifier | None:
        """One that is there already."""
        return self._made.get(user)

    def of(self, user: User | None, name: str) -> Verifier | Awaitable[Verifier]:
        """That of a user; one that is nobody's where it has none, or does not exist."""
        if user is None or not has_verifier(user):
            return mock_verifier(self._key, name, self._iterations)
        return self._made.get(user) or self._make(user)

    async def _make(self, user: User) -> Verifier:
        assert user.password is not None
        salt = mock_verifier(self._key, user.name, self._iterations).salt[:SALT_BYTES]
        password, iterations = user.password.value, self._iterations
        made = await trio.to_thread.run_sync(make_verifier, password, iterations, salt, limiter=self._limiter)
        self._made[user] = made
        return made


def has_verifier(user: User) -> bool:
    """Whether it may log in by SCRAM."""
    return user.scram is not None or (user.password is not None and not is_hash(user.password.value))
