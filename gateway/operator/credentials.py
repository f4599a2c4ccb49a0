"""Credentials: passwords that the operator makes, and the hashes of all that it knows, for gateways."""

import hashlib
import secrets
from typing import NamedTuple

import bcrypt

from gateway.settings.credential_forms import is_hash

PASSWORD_BYTES = 24
# Passwords that were made have more in them than anybody could try, and each check takes time on a small box.
MADE_COST = 5
GIVEN_COST = 10
# bcrypt reads no more of a password.
SIGNIFICANT_BYTES = 72


class Known(NamedTuple):
    digest: bytes
    hashed: str


def new_password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


class Hashes:
    """Hashes by owner, each of which stays the same as long as its password does: another one would have the gateway
    close connections.
    """

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}

    def hash_of(self, owner: str, password: bytes, before: bytes | None, *, made: bool) -> str:
        """`before` is the hash that the gateway has, as far as that is known. Blocks for the processor."""
        digest = hashlib.sha256(password).digest()
        known = self._known.get(owner)
        if known is None or known.digest != digest:
            known = Known(digest, _hashed(password, before, MADE_COST if made else GIVEN_COST))
            self._known[owner] = known
        return known.hashed


def _hashed(password: bytes, before: bytes | None, cost: int) -> str:
    given = password.decode("utf-8", "replace")
    if is_hash(given):
        return given
    password = password[:SIGNIFICANT_BYTES]
    try:
        if before and bcrypt.checkpw(password, before):
            return before.decode()
    except ValueError:
        pass  # It was another kind of hash.
    return bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode()
