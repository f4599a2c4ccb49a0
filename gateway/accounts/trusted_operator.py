"""TrustedOperator: whose signature the tokens of accounts need."""

import time

from gateway.accounts import nkeys
from gateway.accounts.claim_rules import check_account
from gateway.accounts.jwt import AccountClaims, JwtError, OperatorClaims, decode


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
