"""`leafgate passwd` and `leafgate nkey`: what stands in a configuration for somebody who may come in."""

import getpass
import sys

from gateway.errors import GatewayError

# Shorter ones are found by trying.
FEWEST_CHARACTERS = 12


def print_hash(cost: int, from_input: bool, is_scram: bool = False) -> None:
    """Ask for a password, or take it from standard input, and print its bcrypt hash, or its verifier for SCRAM. Raises
    GatewayError.
    """
    # A key pair is made without them, and without the event loop that comes with them.
    from gateway.accounts.passwords import SIGNIFICANT_BYTES, hash_password
    from gateway.accounts.scram import make_verifier

    password = read_password(from_input)
    encoded = password.encode("utf-8", "surrogateescape")
    if not encoded:
        raise GatewayError("an empty password would let everybody in")
    if len(encoded) > SIGNIFICANT_BYTES and not is_scram:
        sentence = f"bcrypt reads {SIGNIFICANT_BYTES} bytes of a password, this one has {len(encoded)}"
        raise GatewayError(f"{sentence}; take a shorter one, or a token from a file")
    if len(password) < FEWEST_CHARACTERS:
        sentence = f"a password of {len(password)} characters is found by trying; take {FEWEST_CHARACTERS} or more"
        print(f"leafgate: {sentence}", file=sys.stderr)
    print(make_verifier(password) if is_scram else hash_password(encoded, cost))


def read_password(from_input: bool) -> str:
    if from_input:
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Once more: ")
    except EOFError:
        raise GatewayError("nobody is there to type a password; give it with --stdin") from None
    if password != again:
        raise GatewayError("those are two different passwords")
    return password


def print_key_pair() -> None:
    """Make an NKey of a user: the seed is for its client, the public key for the configuration."""
    from gateway.accounts.nkeys import USER, KeyPair

    pair = KeyPair.new(USER)
    print(pair.seed.value)
    print(pair.public)
