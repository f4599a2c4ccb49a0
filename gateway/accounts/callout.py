"""Auth callout: a service of an account is asked who a peer is, and answers with a user's JWT made for it.

In nats-server's wire format, so that services for that one serve here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import trio

from gateway.accounts import callout_request, nkeys
from gateway.accounts.account import Account
from gateway.accounts.callout_request import Asker, request_claims, without_requests
from gateway.accounts.claim_rules import check_user, in_hours, is_from, may_connect_as, permission_rules
from gateway.accounts.identity import Credentials, Decision, Identity, Refusal
from gateway.accounts.jwt import LONGEST_ANSWER, JwtError, ResponseClaims, UserClaims, decode, encode
from gateway.accounts.jwt_admission import JwtAdmission
from gateway.accounts.nkeys import CurvePair, KeyPair, NKeyError
from gateway.accounts.permissions import make_permissions
from gateway.accounts.token_proof import TokenProof, decode_proof
from gateway.accounts.trust import TrustedAccount, TrustedAccounts
from gateway.dataplane.port import Port, Receiver
from gateway.runtime.identity import new_token
from gateway.runtime.logs import shorten
from gateway.runtime.runtime import Runtime
from gateway.settings.security import Callout, PermissionRules, User
from protocols.message import Message, make_message

# Peers about whom a service may be asked at the same time.
MOST_WAITING = 1024
# Characters of the service's reason that are logged.
LONGEST_REASON = 200
BEGIN_OF_JWT = b"eyJ"


class CalloutError(Exception):
    """The service gave no user, in one sentence for the log."""


class Answer(Receiver):
    """Waits for the answer to one request."""

    __slots__ = ("is_vain", "there", "told")

    def __init__(self, reply: bytes) -> None:
        super().__init__(Port(None), reply, b"")
        self.there = trio.Event()
        self.told: bytes | None = None
        self.is_vain = False

    def sent(self, request: Message) -> None:
        """The request has gone to all who serve."""
        if not request.delivered and self.told is None:
            self.is_vain = True
            self.there.set()

    def deliver(self, message: Message, source: Port) -> bool:
        if self.told is None:
            self.told = message.payload()
            self.there.set()
        return True


@dataclass(frozen=True, slots=True)
class Question:
    """Where to ask, and what for: the account of the service, `subject` of the request, the key that seals it (or
    none), and whose signature the answer needs where it came unsealed (None: it is of no matter).
    """

    account: Account
    subject: str
    xkey: str = ""
    signers: frozenset[str] | None = None


class CalloutClient:
    """Asks services who peers are. `key` is the gateway's own, whose public part is its server id."""

    def __init__(self, runtime: Runtime, key: KeyPair, clock: Callable[[], float] = time.time) -> None:
        self._runtime = runtime
        self._key = key
        self._clock = clock
        self._curve = CurvePair.new()
        self._waiting = 0

    async def ask(self, credentials: Credentials, question: Question) -> UserClaims:
        """The token of the user that a peer is. Raises CalloutError."""
        if self._waiting >= MOST_WAITING:
            raise CalloutError(f"{MOST_WAITING} others wait for the service already")
        self._waiting += 1
        try:
            return await self._ask(credentials, question)
        except (JwtError, NKeyError) as error:
            raise CalloutError(f"the answer of the service: {error}") from None
        finally:
            self._waiting -= 1

    async def _ask(self, credentials: Credentials, question: Question) -> UserClaims:
        seconds = self._runtime.settings.config.authentication.timeout_seconds
        user_key = KeyPair.new(nkeys.USER).public  # Nobody has its seed: the answer is good for this request alone.
        xkey = self._curve.public if question.xkey else ""
        asker = Asker(self._key.public, self._runtime.names.server_name, xkey)
        expires = int(self._clock() + seconds)
        request = encode(self._key, request_claims(asker, question.subject, user_key, credentials, expires)).encode()
        header = b""
        if question.xkey:
            request = self._curve.seal(request, question.xkey)
            header = b"NATS/1.0\r\n%b: %b\r\n\r\n" % (callout_request.XKEY_FIELD, xkey.encode())
        answer = Answer(b"_INBOX." + new_token().encode())
        account = question.account
        account.router.subscribe(answer)
        try:
            message = make_message(callout_request.SUBJECT.encode(), request, answer.subject, header)
            account.publish(message, owner=answer, done=answer.sent)
            self._runtime.switch.flush()
            with trio.move_on_after(seconds):
                await answer.there.wait()
        finally:
            account.router.unsubscribe(answer)
        if answer.is_vain:
            raise CalloutError("no service answers on " + callout_request.SUBJECT)
        if answer.told is None:
            raise CalloutError(f"the service did not answer within {seconds:g} s")
        return self._read(answer.told, user_key, question)

    def _read(self, told: bytes, user_key: str, question: Question) -> UserClaims:
        if not told:
            raise CalloutError("the service refuses without a reason")
        if len(told) > LONGEST_ANSWER:
            raise CalloutError(f"the service answers with {len(told)} bytes, more than {LONGEST_ANSWER}")
        sealed = bool(question.xkey) and not told.startswith(BEGIN_OF_JWT)
        if sealed:
            told = self._curve.open(told, question.xkey)
        response = decode(told.decode("ascii", "replace"), ResponseClaims)
        response.check_time(self._clock())
        if response.subject != user_key:
            raise CalloutError("the service answers another request")
        if response.audience != self._key.public:
            raise CalloutError("the service answers another server")
        if response.response.error:
            raise CalloutError(f"the service refuses: {shorten(response.response.error, LONGEST_REASON)!r}")
        issuer = response.response.issuer_account or response.issuer
        if not sealed and question.signers is not None and issuer not in question.signers:
            raise CalloutError("the answer is signed by no key of the service's account")
        claims = decode(response.response.jwt, UserClaims)
        claims.check_time(self._clock())
        check_user(claims.user)
        if claims.user.proxy_required:
            raise CalloutError("the service answers with a user that requires a proxy")
        if claims.subject != user_key:
            raise CalloutError("the service answers with another user than it was asked for")
        return claims


class AccountCallout:
    """Services of accounts whose own JWTs say that they decide (gateway.accounts.jwt_admission.Delegate)."""

    def __init__(self, client: CalloutClient, trust: TrustedAccounts, admission: JwtAdmission) -> None:
        self._client = client
        self._trust = trust
        self._admission = admission

    async def decide(self, credentials: Credentials, account: TrustedAccount) -> Decision:
        assert account.account is not None
        xkey = account.claims.account.authorization.xkey
        signers = frozenset((account.public, *account.signers))
        try:
            claims = await self._client.ask(credentials, Question(account.account, account.public, xkey, signers))
        except CalloutError as error:
            return Refusal(str(error))
        public = claims.user.issuer_account or claims.issuer
        await self._trust.load_account(public)
        return self._admission.admit_answered(claims, credentials, account)


class ConfiguredCallout:
    """The service that the configuration names. `find_account` knows accounts by name, `default_rules` the permissions
    of users in an account for whom none are said.
    """

    def __init__(
        self,
        client: CalloutClient,
        config: Callout,
        account: Account,
        find_account: Callable[[str], Account | None],
        default_rules: Callable[[str], PermissionRules | None] = lambda name: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self._client = client
        self._account = account
        self._find_account = find_account
        self._default_rules = default_rules
        self._clock = clock

    def is_asked(self, credentials: Credentials, user: User | None) -> bool:
        """Whether the service is asked about a peer: not about itself, nor about users of other accounts than those
        that are left to it.
        """
        if callout_request.raw_user(credentials) in self.config.users:
            return False
        allowed = self.config.allowed_accounts
        return not allowed or user is None or not user.account or user.account in allowed

    async def decide(self, credentials: Credentials) -> Decision:
        """Who a peer is by what the service says."""
        try:
            claims = await self._client.ask(credentials, Question(self._account, self.config.issuer, self.config.xkey))
        except CalloutError as error:
            return Refusal(str(error))
        if claims.user.issuer_account:
            return Refusal("the service answers with a user of a signing key, which only operators' accounts have")
        proof = TokenProof(claims, credentials.kind, credentials.address, answered=True)
        return self._decide(proof, claims.name or callout_request.raw_user(credentials))

    def renew(self, identity: Identity) -> Decision:
        """Who somebody is now whom the service named."""
        if not isinstance(identity.proof, TokenProof):
            return Refusal("it was admitted by no service")
        return self._decide(identity.proof, identity.user)

    def recall(self, kept: bytes, user: str) -> Decision:
        """Who a user is now who is away, by what was kept of what the service said."""
        proof = decode_proof(kept)
        return self._decide(proof, user) if proof is not None else Refusal("nothing is known of what the service said")

    def _decide(self, proof: TokenProof, user: str) -> Decision:
        claims, now = proof.claims, self._clock()
        if claims.issuer != self.config.issuer:
            return Refusal("the service answers with a user whom the issuer of the configuration has not signed")
        allowed = self.config.allowed_accounts
        name = claims.audience
        account = self._find_account(name)
        if account is None or (allowed and account is not self._account and name not in allowed):
            return Refusal("the service answers with a user of an account that it may not give")
        try:
            claims.check_time(now)
            until = in_hours(claims.user.times, claims.user.times_location, now)
            if until is None or not is_from(claims.user.networks, proof.address):
                raise JwtError("the JWT is not for this address or this time of the day")
            rules = permission_rules(claims.user) or self._default_rules(name)
        except JwtError as error:
            return Refusal(str(error))
        if not may_connect_as(proof.kind, claims.user):
            return Refusal("the JWT is not for this kind of connection")
        if account is self._account:
            rules = without_requests(rules)
        expires = min((float(one) for one in (claims.expires, until) if one), default=0.0)
        return Identity(account, user, make_permissions(rules), expires=expires, proof=proof)
