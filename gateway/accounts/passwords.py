"""Passwords: whether one is right, a hash in a thread. Only so many are checked at once, and only so many wait.

A refusal takes as long for a user that does not exist as for one that does.
"""

import hashlib
import hmac
import os
from collections.abc import Awaitable, Iterable

import trio

from gateway.settings.credential_forms import is_bcrypt, is_hash, parse_sha512
from protocols.cache import GenerationCache

# bcrypt reads no more of a password.
SIGNIFICANT_BYTES = 72
# A round of bcrypt takes about as long as so many of PBKDF2.
ITERATIONS_PER_ROUND = 64
# More would wait longer than they are given time to say who they are.
MOST_WAITING = 256
# Right passwords that are known again, so that a fleet which comes back costs no more than its first login.
REMEMBERED = 4096


class BusyError(Exception):
    """Too many passwords wait to be checked."""


class PasswordChecks:
    """Checks passwords, `at_once` of them in threads. `expect` tells which hashes there are."""

    def __init__(self, at_once: int) -> None:
        self._limiter = trio.CapacityLimiter(at_once)
        self._waiting = 0
        self._decoy = ""
        # What was right, by a digest of hash and password that nobody can make who does not know this key.
        self._key = os.urandom(32)
        self._right: GenerationCache = GenerationCache(REMEMBERED)

    def expect(self, stored: Iterable[str], at_once: int) -> None:
        """These are all the passwords there are: who fails has done as much work as for the costliest of them."""
        hashes = [one for one in stored if is_hash(one)]
        self._decoy = max(hashes, key=cost_of, default="")
        self._limiter.total_tokens = at_once
        self._right.clear()

    def matches(self, stored: str | None, given: bytes) -> bool | Awaitable[bool]:
        """Whether a password is the stored one (plain or a hash); None is stored of whom nobody knows.

        Raises BusyError, at once or when it is awaited.
        """
        if stored is None:
            return self._fail(given)
        if is_hash(stored):
            digest = self._digest(stored, given)
            if digest in self._right.young or self._right.recall(digest) is not None:
                return True
            return self._check_hash(stored, given, digest)
        return True if is_same(stored.encode("utf-8", "surrogatepass"), given) else self._fail(given)

    def _fail(self, given: bytes) -> bool | Awaitable[bool]:
        return self._check_decoy(given) if self._decoy else False

    async def _check_decoy(self, given: bytes) -> bool:
        await self._hash(self._decoy, given)
        return False

    async def _check_hash(self, stored: str, given: bytes, digest: bytes) -> bool:
        if await self._hash(stored, given):
            self._right.remember(digest, True)
            return True
        if cost_of(stored) < cost_of(self._decoy):
            await self._hash(self._decoy, given)
        return False

    async def _hash(self, stored: str, given: bytes) -> bool:
        if self._waiting >= MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            return await trio.to_thread.run_sync(matches_hash, stored, given, limiter=self._limiter)
        finally:
            self._waiting -= 1

    def _digest(self, stored: str, given: bytes) -> bytes:
        return hashlib.blake2b(stored.encode() + significant(stored, given), key=self._key, digest_size=32).digest()


def cost_of(stored: str) -> int:
    """How much work a hash takes, in iterations of PBKDF2; 0 for none."""
    if not stored:
        return 0
    if is_bcrypt(stored):
        return ITERATIONS_PER_ROUND << int(stored[4:6])
    parts = parse_sha512(stored)
    return parts[0] + 1 if parts is not None else 0


def significant(stored: str, given: bytes) -> bytes:
    """What a hash looks at of a password."""
    return given[:SIGNIFICANT_BYTES] if is_bcrypt(stored) else given


def matches_hash(stored: str, given: bytes) -> bool:
    """Whether a password is that of a hash. Takes the time that its cost says: belongs into a thread."""
    if not is_bcrypt(stored):
        return _matches_sha512(stored, given)
    import bcrypt

    try:
        # The prefixes differ in faults of programs that were mended before 2014.
        return bcrypt.checkpw(significant(stored, given), b"$2b$" + stored[4:].encode())
    except ValueError:
        return False


def _matches_sha512(stored: str, given: bytes) -> bool:
    parts = parse_sha512(stored)
    if parts is None:
        return False
    iterations, salt, digest = parts
    if iterations:
        made = hashlib.pbkdf2_hmac("sha512", given, salt, iterations)
    else:
        made = hashlib.sha512(given + salt).digest()
    return hmac.compare_digest(made, digest)


def hash_password(password: bytes, cost: int) -> str:
    """The bcrypt hash of a password of up to SIGNIFICANT_BYTES. Takes its time, too."""
    import bcrypt

    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()


def is_same(secret: bytes, given: bytes) -> bool:
    """Whether two texts are the same, without telling by the time where they differ, or how long the secret is."""
    return hmac.compare_digest(hashlib.blake2b(secret).digest(), hashlib.blake2b(given).digest())
