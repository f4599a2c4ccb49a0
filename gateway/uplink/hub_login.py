"""Hub login: how an uplink shows a hub who it is: by credentials, by an NKey, by a token, or by user and password."""

from dataclasses import dataclass, field

from gateway.accounts.credentials_file import CredentialsFileError, read_credentials
from gateway.accounts.nkeys import KeyPair, NKeyError, encode_signature
from gateway.settings.addresses import ServerUrl
from gateway.settings.uplink import Uplink


class HubLoginError(Exception):
    """There is nothing to show, in one sentence that repeats no secret."""


@dataclass(frozen=True, slots=True)
class HubKey:
    """A key, and the JWT of its user; empty where the hub knows the key itself."""

    key: KeyPair
    jwt: str = field(default="", repr=False)

    def answer(self, nonce: str) -> dict[str, object]:
        """The fields of CONNECT that answer a hub's challenge."""
        who = {"jwt": self.jwt} if self.jwt else {"nkey": self.key.public}
        return {**who, "sig": encode_signature(self.key.sign(nonce.encode()))}


def read_key(config: Uplink) -> HubKey | None:
    """What the hub's challenge is to be signed with, read anew: a file of credentials may be another one by now. None
    where nothing is signed. It may take time; raises HubLoginError.
    """
    try:
        if config.credentials:
            found = read_credentials(config.credentials)
            return HubKey(found.key, found.jwt)
        if config.nkey is not None:
            return HubKey(KeyPair.of_seed(config.nkey.value))
    except CredentialsFileError as error:
        raise HubLoginError(f"credentials: {error}") from None
    except NKeyError as error:
        raise HubLoginError(f"nkey: {error}") from None
    return None


def login_fields(config: Uplink, url: ServerUrl, key: HubKey | None, nonce: str) -> dict[str, object]:
    """The fields of CONNECT that say who we are."""
    if key is not None:
        return key.answer(nonce)
    if config.token is not None:
        return _token(config.token.value)
    if config.password is not None and config.user:
        return {"user": config.user, "pass": config.password.value}
    if url.user is None:
        return {}
    return _token(url.user) if url.password is None else {"user": url.user, "pass": url.password}


def _token(token: str) -> dict[str, object]:
    # nats-server looks for a leafnode's token in the one field or in the other, by what it is configured with.
    return {"user": token, "auth_token": token}
