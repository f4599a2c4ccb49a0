"""Admission by JWTs: who comes brings a token of an account that is trusted, and proves with its NKey to be whom the
token speaks of. Nobody is listed here.
"""

from collections.abc import Awaitable
from dataclasses import replace
from typing import Protocol

from gateway.accounts import nkeys
from gateway.accounts.callout_request import without_requests
from gateway.accounts.claim_rules import in_hours, is_from, limit_of, may_connect_as, permission_rules
from gateway.accounts.identity import Credentials, Decision, Identity, PeerLimits, Refusal
from gateway.accounts.jwt import EVERYBODY, NO_LIMIT, Grant, JwtError, UserClaims, decode, is_revoked
from gateway.accounts.permissions import EVERYTHING, make_permissions
from gateway.accounts.role_templates import Subject, fill_in
from gateway.accounts.token_proof import TokenProof, decode_proof
from gateway.accounts.trust import TrustedAccount, TrustedAccounts
from gateway.settings.listener import Listener

# What live connections are told, in nats-server's words.
REVOKED = "User Authentication Revoked"
ACCOUNT_EXPIRED = "Account Authentication Expired"


class Delegate(Protocol):
    """A service of an account that decides who its users are (gateway.accounts.callout)."""

    def decide(self, credentials: Credentials, account: "TrustedAccount") -> Awaitable[Decision]: ...


class JwtAdmission:
    """Admits who brings a user's token (gateway.accounts.admission.Admission).

    `delegate` asks services of accounts that decide themselves.
    """

    def __init__(self, trust: TrustedAccounts) -> None:
        self.delegate: Delegate | None = None
        self._trust = trust

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        """Nobody: everybody brings a token."""
        return None

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        """Who a peer is by its token; it takes time where the token of its account is not here yet."""
        if not credentials.jwt:
            return Refusal("a JWT of a user is needed")
        try:
            claims = decode(credentials.jwt, UserClaims)
            claims.check_time(self._trust.now())
            if claims.user.proxy_required:
                raise JwtError("the JWT requires a proxy")
        except JwtError as error:
            return Refusal(str(error))
        # Anybody can sign what he likes: what it grants is read once it is known whose key that was.
        public = claims.user.issuer_account or claims.issuer
        if not nkeys.is_public(public, nkeys.ACCOUNT):
            return Refusal("the JWT names an account that is none")
        if public not in self._trust.accounts:
            if not self._trust.resolver.is_immediate:
                return self._admit_later(public, claims, credentials)
            self._trust.open_now([public])
        return self._admit_to(public, claims, credentials)

    def renew(self, identity: Identity) -> Decision:
        """Who somebody is now by the token that it brought."""
        proof = identity.proof
        return self._renew(proof) if isinstance(proof, TokenProof) else Refusal("it was admitted by no JWT")

    def recall(self, kept: bytes, user: str) -> Decision:
        """Who somebody is now who is away, by what was kept of the token that it brought."""
        proof = decode_proof(kept)
        return self._renew(proof) if proof is not None else Refusal("nothing is known of its JWT")

    def _renew(self, proof: TokenProof) -> Decision:
        trusted = self._trust.accounts.get(proof.claims.user.issuer_account or proof.claims.issuer)
        if trusted is None:
            return Refusal("its account is gone", told=ACCOUNT_EXPIRED)
        return self._decide(trusted, proof, None)

    async def _admit_later(self, public: str, claims: UserClaims, credentials: Credentials) -> Decision:
        await self._trust.load_account(public)
        decision = self._admit_to(public, claims, credentials)
        return decision if isinstance(decision, Identity | Refusal) else await decision

    def _admit_to(self, public: str, claims: UserClaims, credentials: Credentials) -> Decision | Awaitable[Decision]:
        trusted = self._trust.accounts.get(public)
        if trusted is None:
            return Refusal("the JWT is of an account that is not known here")
        outside = trusted.claims.account.authorization.auth_users
        if outside and claims.subject not in outside:
            if self.delegate is None:
                return Refusal("the account leaves it to a service who its users are, and none is asked here")
            return self.delegate.decide(credentials, trusted)
        return self._decide(trusted, TokenProof(claims, credentials.kind, credentials.address), credentials)

    def admit_answered(self, claims: UserClaims, credentials: Credentials, asked: TrustedAccount) -> Decision:
        """Who a peer is by the token that a service made for it. Of which accounts, the account that asked says."""
        public = claims.user.issuer_account or claims.issuer
        allowed = asked.claims.account.authorization.allowed_accounts
        if public != asked.public and public not in allowed and EVERYBODY not in allowed:
            return Refusal("the service answered with a user of an account that it may not give")
        trusted = self._trust.accounts.get(public)
        if trusted is None:
            return Refusal("the service answered with a user of an account that is not known here")
        proof = TokenProof(claims, credentials.kind, credentials.address, answered=True)
        decision = self._decide(trusted, proof, None)
        if isinstance(decision, Identity) and claims.name:
            return replace(decision, user=claims.name)
        return decision

    def _decide(self, trusted: TrustedAccount, proof: TokenProof, credentials: Credentials | None) -> Decision:
        """All that a token is held to, in nats-server's order; without `credentials` the signature of the nonce is no
        question any more.
        """
        claims, now = proof.claims, self._trust.now()
        account = trusted.claims.account
        try:
            claims.check_time(now)
            grant = self._grant(trusted, claims)
            trusted.claims.check_time(now)
        except JwtError as error:
            return Refusal(str(error))
        if grant.bearer_token and account.limits.disallow_bearer:
            return Refusal("the account takes no bearer tokens")
        if not may_connect_as(proof.kind, grant):
            return Refusal("the JWT is not for this kind of connection")
        if credentials is not None and not grant.bearer_token and not signed_nonce(claims.subject, credentials):
            return Refusal("the nonce is not signed by the user of the JWT")
        if is_revoked(account.revocations, claims.subject, claims.issued_at):
            return Refusal("the JWT is revoked", told=REVOKED)
        try:
            if not is_from(grant.networks, proof.address):
                return Refusal("the JWT is not for this address")
            until = in_hours(grant.times, grant.times_location, now)
            rules = permission_rules(grant) or permission_rules(account.default_permissions)
        except JwtError as error:
            return Refusal(str(error))
        if until is None:
            return Refusal("the JWT is not for this time of the day")
        limits = account.limits
        own = (NO_LIMIT, NO_LIMIT) if proof.answered else (grant.subs, grant.payload)
        if account.authorization.auth_users:
            rules = without_requests(rules)
        assert trusted.account is not None
        return Identity(
            trusted.account,
            user=claims.subject,
            permissions=make_permissions(rules) if rules is not None else EVERYTHING,
            limits=PeerLimits(
                max_subscriptions=limit_of(own[0], limits.subs),
                max_payload_bytes=limit_of(own[1], limits.payload),
            ),
            expires=min((float(one) for one in (claims.expires, trusted.claims.expires, until) if one), default=0.0),
            proof=proof,
        )

    def _grant(self, trusted: TrustedAccount, claims: UserClaims) -> Grant:
        """What the user may: what its token says, or the role of the key that signed it. Raises JwtError."""
        if claims.issuer not in trusted.signers:
            raise JwtError("the JWT is signed by no key of its account")
        if not nkeys.is_public(claims.subject, nkeys.USER):
            raise JwtError("the JWT is about no user")
        role = trusted.signers[claims.issuer]
        if role is None:
            return claims.user
        if not claims.user.is_empty():
            raise JwtError("the JWT grants something, though the role of its key says what it may")
        about = Subject(
            name=claims.name,
            key=claims.subject,
            tags=claims.user.tags,
            account_name=trusted.name,
            account_key=claims.user.issuer_account,
            account_tags=trusted.claims.account.tags,
        )
        grant = fill_in(role.template, about)
        if grant.proxy_required:
            raise JwtError("the JWT requires a proxy")
        return grant


def signed_nonce(public: str, credentials: Credentials) -> bool:
    """Whether a peer signed its challenge with the key of this user."""
    return bool(credentials.nonce) and nkeys.verify_text(public, credentials.nonce, credentials.signature)
