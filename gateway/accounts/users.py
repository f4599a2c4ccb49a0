"""Users: who may come in by the configuration, by name and password, NKey, certificate or the one token, in the order
in which nats-server tries them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from gateway.accounts.account import Account
from gateway.accounts.attempts import Attempts, Key
from gateway.accounts.identity import NO_LIMITS, Credentials, Decision, Identity, PeerLimits, Refusal
from gateway.accounts.passwords import BusyError, PasswordChecks, is_same
from gateway.accounts.permissions import NO_RIGHTS, Permissions, make_permissions
from gateway.accounts.scram import Verifier
from gateway.accounts.user_directory import UserDirectory, maps_certificates
from gateway.accounts.user_verifiers import UserVerifiers
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.credential_forms import is_hash
from gateway.settings.listener import Listener
from gateway.settings.live import Settings
from gateway.settings.schema import Config
from gateway.settings.secret import Secret
from gateway.settings.security import User

if TYPE_CHECKING:
    from gateway.accounts.callout import ConfiguredCallout
    from gateway.accounts.jwt_admission import JwtAdmission

TOO_MANY_FAILURES = Refusal("too many failures before it")
NO_CREDENTIALS = Refusal("no credentials")
BUSY = Refusal("too many passwords are being checked", is_busy=True)


@dataclass(frozen=True, slots=True)
class Proof:
    """By what somebody was recognised. `user` is None for who showed the token, and where nobody is asked.

    `vouched`: nobody asked for its credentials, be it that the listener lets everybody in as this user.
    """

    way: Credentials
    user: User | None = None
    token: Secret | None = None
    vouched: bool = False


class ConfiguredAdmission:
    """Admits by the configuration in force (gateway.accounts.admission.Admission). Where that names nobody, everybody
    is anonymous, in the default account.

    `accounts` are those that there are, by name. Where there is an operator, `by_jwt` admits instead. `make_callout`
    makes what is asked who peers are, but for users whom it is not asked about, where the configuration wants that.
    """

    def __init__(
        self,
        settings: Settings,
        accounts: Mapping[str, Account],
        by_jwt: "JwtAdmission | None" = None,
        make_callout: "Callable[[], ConfiguredCallout | None]" = lambda: None,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._by_jwt = by_jwt
        self._make_callout = make_callout
        self._callout: ConfiguredCallout | None = None
        self._attempts = Attempts()
        self._passwords = PasswordChecks(1)
        self._verifiers = UserVerifiers()
        self._config: Config
        self._directory: UserDirectory
        self.apply()

    def apply(self) -> None:
        """Take over the users of the configuration in force. Who is in stays so until somebody asks (`renew`)."""
        config = self._config = self._settings.config
        self._directory = UserDirectory(config)
        if config.authentication.callout != (self._callout.config if self._callout is not None else None):
            self._callout = self._make_callout()
        stored = [user.password.value for user in config.users if user.password is not None]
        self._verifiers.expect(config.users)
        self._passwords.expect(stored, config.authentication.max_password_checks)
        if self._directory.by_nkey:
            import nacl.signing  # noqa: F401 - it takes its time, which the first client shall not wait for
        for account in self._accounts.values():
            account.rights_changed()

    def anonymous(self, kind: str, listener: Listener | None) -> Identity | None:
        config = self._config
        way = Credentials(kind=kind, listener=listener)
        if not config.authenticates:
            return Identity(self._accounts[DEFAULT_ACCOUNT], proof=Proof(way, vouched=True))
        user = self._directory.named(config.no_auth_user_at(listener))
        # Its networks are for those who say that they are this user: whoever comes here says nothing.
        if user is None or (user.connection_types and kind not in user.connection_types):
            return None
        decision = self._identity(user, way, vouched=True)
        return decision if isinstance(decision, Identity) else None

    def admit(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        if not self._config.authenticates:
            everybody = self.anonymous(credentials.kind, credentials.listener)
            return everybody or NO_CREDENTIALS
        if self._by_jwt is not None:  # Nobody guesses a signature; who fails need not be slowed.
            return self._by_jwt.admit(credentials)
        seconds = self._attempts.wait(credentials.address, name_in(credentials))
        if seconds is None:
            return TOO_MANY_FAILURES
        if seconds:
            return self._judge_later(seconds, credentials)
        if self._attempts.are_crowded(credentials.address, name_in(credentials)):
            return self._judge_in_turn(credentials)
        return self._judge_now(credentials)

    def vouch(self, user_name: str, credentials: Credentials) -> Decision:
        """Who somebody is of whom the gateway itself says who it is, as for a device on a certain port."""
        if not self._config.authenticates:
            return self.anonymous(credentials.kind, credentials.listener) or NO_CREDENTIALS
        user = self._directory.named(user_name)
        if user is None:
            return Refusal("no such user")
        obstacle = self._directory.obstacle(user, credentials)
        return Refusal(obstacle) if obstacle is not None else self._identity(user, credentials, vouched=True)

    def verifier(self, user: str) -> Verifier | Awaitable[Verifier] | None:
        """See gateway.accounts.scram.Verifiers."""
        if not self._verifiers.there_are_some:
            return None
        return self._verifiers.of(self._directory.by_name.get(user), user)

    def renew(self, identity: Identity) -> Decision:
        proof = identity.proof
        if not isinstance(proof, Proof):
            other = self._by_jwt or self._callout
            return other.renew(identity) if other is not None else Refusal("it was admitted by other means")
        config, directory, way = self._config, self._directory, proof.way
        if proof.token is not None:
            if config.authentication.token != proof.token:
                return Refusal("the token is another one")
            return self._identity_of_token(way)
        if proof.user is None:
            return self.anonymous(way.kind, way.listener) or NO_CREDENTIALS
        user = directory.named(proof.user.name or proof.user.nkey)
        if user is None:
            return Refusal("there is no such user any more", told="")
        if not proof.vouched and secrets_of(user) != secrets_of(proof.user):
            return Refusal("the user has other credentials now")
        obstacle = None if proof.vouched else directory.obstacle(user, way)
        return Refusal(obstacle) if obstacle is not None else self._identity(user, way, vouched=proof.vouched)

    # The methods.

    def _judge(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        config, directory = self._config, self._directory
        if self._callout is not None and self._callout.is_asked(credentials, directory.named(name_in(credentials))):
            # The service could not tell whether the proof is one.
            is_told = credentials.proves is None and credentials.proves_password is None
            return self._callout.decide(credentials) if is_told else NO_CREDENTIALS
        if credentials.nkey:
            return self._by_nkey(credentials)
        if credentials.proves is not None:
            return self._by_verifier(credentials.proves, credentials)
        if credentials.proves_password is not None:
            return self._by_digest(credentials.proves_password, credentials)
        if maps_certificates(credentials.listener):
            return self._by_tls(credentials)
        if credentials.user and directory.by_name:
            return self._by_password(directory.by_name.get(credentials.user), credentials)
        if credentials.token:
            token = config.authentication.token
            if token is None or not is_same(token.value.encode(), credentials.token.encode("utf-8", "replace")):
                return Refusal("a wrong token")
            return self._identity_of_token(credentials)
        if credentials.user or credentials.password:
            return Refusal("no such user")
        return self.anonymous(credentials.kind, credentials.listener) or NO_CREDENTIALS

    def _by_nkey(self, credentials: Credentials) -> Decision:
        user = self._directory.by_nkey.get(credentials.nkey)
        if user is None:
            return Refusal("no such key")
        obstacle = self._directory.obstacle(user, credentials)
        if obstacle is not None:
            return Refusal(obstacle)
        if not credentials.signature:
            return Refusal("no signature")
        if not credentials.nonce:
            return Refusal("a signature of no challenge")
        from gateway.accounts.nkeys import verify_text

        if not verify_text(credentials.nkey, credentials.nonce, credentials.signature):
            return Refusal("a wrong signature")
        return self._identity(user, credentials)

    def _by_tls(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        """By what was proved in the handshake: a certificate, or a key that is shared."""
        if credentials.psk_identity:
            user = self._directory.by_name.get(credentials.psk_identity)
            obstacle = self._directory.obstacle(user, credentials) if user is not None else "a shared key of no user"
            if obstacle is not None:
                return Refusal(obstacle)
        elif credentials.certificate:
            user = self._directory.of_certificate(credentials.certificate, credentials)
        else:
            return Refusal("no certificate")
        if user is None:
            return Refusal("a certificate that names no user")
        if user.password is not None:
            return self._by_password(user, credentials)
        # As nats-server has it, to which the user has an empty one.
        return Refusal("a wrong password") if credentials.password else self._identity(user, credentials)

    def _by_password(self, user: User | None, credentials: Credentials) -> Decision | Awaitable[Decision]:
        if user is None:
            obstacle: str | None = "no such user"
        else:
            obstacle = self._directory.obstacle(user, credentials)
            if obstacle is None and user.password is None:
                obstacle = "the user has no password"
        known = user if obstacle is None else None
        password = known.password if known is not None else None
        reason = obstacle or "a wrong password"
        try:
            right = self._passwords.matches(password.value if password is not None else None, credentials.password)
        except BusyError:
            return BUSY
        if isinstance(right, bool):
            return self._judged(known if right else None, credentials, reason)

        async def judge(waited: Awaitable[bool]) -> Decision:
            try:
                matches = await waited
            except BusyError:
                return BUSY
            return self._judged(known if matches else None, credentials, reason)

        return judge(right)

    def _by_verifier(self, proves: Callable[[Verifier], bool], credentials: Credentials) -> Decision:
        user = self._named(credentials)
        if isinstance(user, Refusal):
            return user
        known = self._verifiers.known(user)
        if known is None:
            return Refusal("the user has no verifier")
        return self._identity(user, credentials) if proves(known) else Refusal("a wrong password")

    def _by_digest(self, proves: Callable[[bytes], bool], credentials: Credentials) -> Decision:
        """By what the peer made of a password, which has to be here as it is for that."""
        user = self._named(credentials)
        if isinstance(user, Refusal):
            return user
        if user.password is None or is_hash(user.password.value):
            return Refusal("the user's password is not there as plain text, without which its digest cannot be checked")
        right = proves(user.password.value.encode())
        return self._identity(user, credentials) if right else Refusal("a wrong password")

    def _named(self, credentials: Credentials) -> User | Refusal:
        """Whom a peer says that it is, where he may come in this way."""
        user = self._directory.by_name.get(credentials.user)
        if user is None:
            return Refusal("no such user")
        obstacle = self._directory.obstacle(user, credentials)
        return user if obstacle is None else Refusal(obstacle)

    def _judged(self, user: User | None, credentials: Credentials, reason: str) -> Decision:
        return Refusal(reason) if user is None else self._identity(user, credentials)

    # What becomes of it.

    def _identity(self, user: User, credentials: Credentials, vouched: bool = False) -> Decision:
        account = self._accounts.get(user.account or DEFAULT_ACCOUNT)
        if account is None:
            return Refusal("its account is not there")
        rules = self._directory.rules_of(user)
        return Identity(
            account,
            user.name or user.nkey,
            self._permissions(user),
            limits_of(rules.max_subscriptions, rules.max_payload_bytes),
            client_id_prefix=user.client_id_prefix.encode(),
            proof=Proof(without_secrets(credentials), user, vouched=vouched),
        )

    def _identity_of_token(self, credentials: Credentials) -> Identity:
        proof = Proof(without_secrets(credentials), token=self._config.authentication.token)
        return Identity(self._accounts[DEFAULT_ACCOUNT], permissions=self._permissions(None), proof=proof)

    def _permissions(self, user: User | None) -> Permissions:
        """What a user may do, or who showed the token."""
        own = user.permissions if user is not None else None
        defaults = self._directory.rules_of(user).default_permissions
        return make_permissions(own, defaults, self._config.authentication.default_permissions)

    def rights_of_absent(self, account: Account, name: str, proof: bytes) -> Permissions | None:
        """See `rights_of` in gateway.accounts.account.Account."""
        config = self._config
        if not config.authenticates:
            return None
        others: JwtAdmission | ConfiguredCallout | None = self._by_jwt
        if self._callout is not None and name not in self._callout.config.users:
            others = self._callout
        if others is not None:
            decision = others.recall(proof, name)
            if isinstance(decision, Identity) and decision.account is account:
                return decision.permissions
            return NO_RIGHTS
        if not name and config.authentication.token is not None and account is self._accounts[DEFAULT_ACCOUNT]:
            return self._permissions(None)
        user = self._directory.named(name)
        if user is None or self._accounts.get(user.account or DEFAULT_ACCOUNT) is not account:
            return NO_RIGHTS
        return self._permissions(user)

    def _judge_now(self, credentials: Credentials) -> Decision | Awaitable[Decision]:
        decision = self._judge(credentials)
        if isinstance(decision, Identity | Refusal):
            return self._note(credentials, decision)
        keys = self._attempts.begin(credentials.address, name_in(credentials))
        return self._note_later(credentials, decision, self._config, keys)

    async def _judge_later(self, seconds: float, credentials: Credentials) -> Decision:
        await trio.sleep(seconds)
        decision = self._judge_now(credentials)
        return decision if isinstance(decision, Identity | Refusal) else await decision

    async def _judge_in_turn(self, credentials: Credentials) -> Decision:
        """Once others are decided: they may have been failures."""
        address, name = credentials.address, name_in(credentials)
        if not await self._attempts.place(address, name):
            return BUSY
        seconds = self._attempts.wait(address, name)
        if seconds is None:
            return TOO_MANY_FAILURES
        if seconds:
            return await self._judge_later(seconds, credentials)
        # At once: who waits for the same place looks again when this one has taken it.
        decision = self._judge_now(credentials)
        return decision if isinstance(decision, Identity | Refusal) else await decision

    async def _note_later(
        self, credentials: Credentials, waited: Awaitable[Decision], asked: Config, keys: list[Key]
    ) -> Decision:
        """`asked` is the configuration by which it is decided. There may be another one by then. `keys` are those of
        the attempt, which has begun.
        """
        try:
            decision = await waited
        finally:
            self._attempts.end(keys)
        if isinstance(decision, Identity) and self._config is not asked:
            decision = self.renew(decision)
        return self._note(credentials, decision)

    def _note(self, credentials: Credentials, decision: Decision) -> Decision:
        """Remember how it went: who failed often waits the next time."""
        name = name_in(credentials)
        if isinstance(decision, Refusal):
            if not decision.is_busy:
                self._attempts.failed(credentials.address, name)
        elif name or credentials.token or credentials.certificate or credentials.psk_identity:
            # That it lets everybody in would say nothing of a guess.
            self._attempts.succeeded(credentials.address, name)
        return decision


def secrets_of(user: User) -> tuple[object, ...]:
    """All by which a user may be recognised."""
    return user.password, user.nkey, user.scram


def name_in(credentials: Credentials) -> str:
    """Whose secret is being guessed."""
    return credentials.user or credentials.nkey


def without_secrets(credentials: Credentials) -> Credentials:
    """How somebody came."""
    return Credentials(kind=credentials.kind, address=credentials.address, listener=credentials.listener)


def limits_of(max_subscriptions: int, max_payload_bytes: int) -> PeerLimits:
    return PeerLimits(max_subscriptions, max_payload_bytes) if max_subscriptions or max_payload_bytes else NO_LIMITS
