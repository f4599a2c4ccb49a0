"""TokenProof: by which claims somebody was admitted. It can be kept where something of him outlives his connection, so
that what he may do can be found again by whoever has to decide when he is not there to say it.
"""

import msgspec

from gateway.accounts.identity import Keepable
from gateway.accounts.jwt import UserClaims
from protocols import foreign_json

# Of whom longer claims would have to be kept nothing is: a session of his rests until he comes himself.
MOST_KEPT_BYTES = 16 * 1024


class TokenProof(msgspec.Struct, Keepable, frozen=True):
    """`kind` and `address` are how he came. Nothing in here is a secret, or signed: it lets nobody in.

    `answered`: a service made the token for one connection. No nonce was signed, and its limits are those of the
    account.
    """

    claims: UserClaims
    kind: str
    address: str
    answered: bool = False

    def to_keep(self) -> bytes:
        """See gateway.accounts.identity.Keepable."""
        encoded = msgspec.json.encode(self)
        return encoded if len(encoded) <= MOST_KEPT_BYTES else b""


def decode_proof(kept: bytes) -> TokenProof | None:
    """The inverse of `to_keep`; None where nothing was kept, or what this version does not understand."""
    try:
        return foreign_json.decode(kept, TokenProof) if kept else None
    except msgspec.DecodeError:
        return None
