"""SCRAM-SHA-256 (RFC 5802, RFC 7677): a login in which the password is never sent, as the side that lets in.

What computes is loaded when somebody logs in so: OpenSSL comes with it.
"""

import base64
import os
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from gateway.settings.credential_forms import DIGEST_BYTES, LEAST_ITERATIONS

MECHANISM = "SCRAM-SHA-256"
SALT_BYTES = 16
NONCE_BYTES = 18
# Longer messages are nobody's who wants to come in.
LONGEST_MESSAGE = 4096


class ScramError(Exception):
    """The other side broke the protocol. The text says how and repeats nothing."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """What is known of a password: enough to recognise who knows it, and to be recognised by him."""

    iterations: int
    salt: bytes
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    def __str__(self) -> str:
        """The text form, which PostgreSQL has too."""
        keys = f"{encode(self.stored_key)}:{encode(self.server_key)}"
        return f"{MECHANISM}${self.iterations}:{encode(self.salt)}${keys}"


@runtime_checkable
class Verifiers(Protocol):
    """An admission (gateway.accounts.admission) that knows verifiers of its users."""

    def verifier(self, user: str) -> Verifier | Awaitable[Verifier] | None:
        """That of a user, and one that nobody knows a password of for whom there is none; None where no user has
        a password that a verifier can be made of.
        """


class ScramExchange:
    """One login. `first` takes what the client says first, `challenge` answers it, `final` takes its proof.

    `user` is whom the client says it is. After `final`, `proves` tells whether its proof is right, and `signature` is
    the answer to that.
    """

    __slots__ = ("_bare", "_header", "_nonce", "_proof", "_server_first", "_without_proof", "user")

    def __init__(self) -> None:
        self.user = ""
        self._header = self._bare = self._nonce = self._server_first = self._without_proof = ""
        self._proof = b""

    def first(self, message: bytes) -> None:
        """Raises ScramError."""
        text = text_of(message)
        binding, comma, rest = text.partition(",")
        authzid, comma, bare = rest.partition(",")
        if binding not in ("n", "y") or not comma:
            raise ScramError("a channel binding that is not offered, or no header")
        fields = bare.split(",")
        if len(fields) < 2 or not fields[0].startswith("n=") or not fields[1].startswith("r="):
            raise ScramError("no user and nonce where they are expected")
        self.user = plain_name(fields[0][2:])
        nonce = fields[1][2:]
        if not nonce or not all("!" <= one <= "~" for one in nonce):
            raise ScramError("a nonce that is none")
        if authzid and (not authzid.startswith("a=") or plain_name(authzid[2:]) != self.user):
            raise ScramError("the wish to act for somebody else")
        self._header = f"{binding},{authzid},"
        self._bare = bare
        self._nonce = nonce + encode(os.urandom(NONCE_BYTES))

    def challenge(self, verifier: Verifier) -> bytes:
        self._server_first = f"r={self._nonce},s={encode(verifier.salt)},i={verifier.iterations}"
        return self._server_first.encode()

    def final(self, message: bytes) -> None:
        """Raises ScramError."""
        text = text_of(message)
        self._without_proof, _, proof = text.rpartition(",p=")
        fields = self._without_proof.split(",")
        if len(fields) < 2 or fields[0] != f"c={encode(self._header.encode())}" or fields[1] != f"r={self._nonce}":
            raise ScramError("not the header and the nonce of this exchange")
        try:
            self._proof = base64.b64decode(proof, validate=True)
        except ValueError:
            raise ScramError("a proof that is no base64") from None
        if len(self._proof) != DIGEST_BYTES:
            raise ScramError("a proof of another length")

    def proves(self, verifier: Verifier) -> bool:
        """Whether who sent the proof knows the password."""
        import hashlib
        import hmac

        signature = hmac.digest(verifier.stored_key, self._authenticated(), "sha256")
        client_key = bytes(a ^ b for a, b in zip(self._proof, signature, strict=True))
        return hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)

    def signature(self, verifier: Verifier) -> bytes:
        """The last message: it shows that we know the verifier."""
        import hmac

        return b"v=" + base64.b64encode(hmac.digest(verifier.server_key, self._authenticated(), "sha256"))

    def _authenticated(self) -> bytes:
        return f"{self._bare},{self._server_first},{self._without_proof}".encode()


def make_verifier(password: str, iterations: int = LEAST_ITERATIONS, salt: bytes = b"") -> Verifier:
    """Takes some milliseconds: belongs into a thread."""
    import hashlib
    import hmac

    salt = salt or os.urandom(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", prepare(password).encode("utf-8", "surrogatepass"), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    return Verifier(iterations, salt, stored_key, hmac.digest(salted, b"Server Key", "sha256"))


def parse_verifier(text: str) -> Verifier:
    """The inverse of `str`, for what is a verifier (gateway.settings.security.is_verifier)."""
    parameters, keys = text.split("$")[1:]
    iterations, salt = parameters.split(":")
    return Verifier(int(iterations), *map(base64.b64decode, (salt, *keys.split(":"))))


def mock_verifier(key: bytes, user: str, iterations: int) -> Verifier:
    """The verifier of somebody who does not exist: the same one whenever he is asked for, and nobody's password."""
    import hmac

    name = user.encode("utf-8", "surrogatepass")
    salt, stored, server = (hmac.digest(key, what + name, "sha256") for what in (b"salt ", b"stored ", b"server "))
    return Verifier(iterations, salt[:SALT_BYTES], stored, server)


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def text_of(message: bytes) -> str:
    if len(message) > LONGEST_MESSAGE:
        raise ScramError("a message that is too long")
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise ScramError("a message that is no UTF-8") from None


def plain_name(escaped: str) -> str:
    """A user name as it is, of which `,` and `=` were written =2C and =3D."""
    pieces = escaped.split("=")
    for piece in pieces[1:]:
        if not piece.startswith(("2C", "3D")):
            raise ScramError("a user name that is not escaped")
    name = pieces[0] + "".join(("," if piece.startswith("2C") else "=") + piece[2:] for piece in pieces[1:])
    prepared = prepare(name)
    if not prepared:
        raise ScramError("an empty user name")
    return prepared


def prepare(text: str) -> str:
    """A text as SASLprep (RFC 4013) has it; as it is, where that forbids it."""
    if text.isascii():
        return text
    import stringprep
    import unicodedata

    mapped = "".join(" " if stringprep.in_table_c12(one) else one for one in text if not stringprep.in_table_b1(one))
    return unicodedata.normalize("NFKC", mapped)
