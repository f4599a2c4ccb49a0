"""Hashes, verifiers and keys as they stand in a configuration: whether a text is one, and what is wrong with it.

Nothing here repeats the text, which may be a secret.
"""

import base64
import binascii
import string

# What a bcrypt hash begins with, how long it is, and the costs that are right: one of 14 takes a second.
HASH_PREFIXES = ("$2a$", "$2b$", "$2x$", "$2y$")
HASH_LENGTH = 60
HASH_LETTERS = frozenset(string.ascii_letters + string.digits + "./")
HASH_COSTS = range(4, 15)
# mosquitto_passwd's: $7$iterations$salt$digest (PBKDF2) and $6$salt$digest, both of SHA-512 and in base64.
PBKDF2_PREFIX = "$7$"
SALTED_PREFIX = "$6$"
SHA512_BYTES = 64
LARGEST_SALT = 256
# Of PBKDF2, and of SCRAM: more take seconds.
MOST_ITERATIONS = 2_000_000
# What other programs make. As plain text such a one would let in whoever has read it where it was kept.
FOREIGN_PREFIXES = (
    *HASH_PREFIXES,
    "$argon2",
    "$scrypt$",
    "$pbkdf2",
    "$1$",
    "$5$",
    "$y$",
    "$gy$",
    "{SSHA",
    "{SHA",
    "PBKDF2$",
)
# Of verifiers of SCRAM-SHA-256 (RFC 7677).
LEAST_ITERATIONS = 4096
DIGEST_BYTES = 32
USER_KEY_PREFIX = 20 << 3
USER_KEY_LENGTH = 56


def verifier_fault(text: str) -> str:
    """What is wrong with the verifier of a password."""
    if is_verifier(text):
        return ""
    return "this is no verifier as `leafgate passwd --scram` prints it: SCRAM-SHA-256$4096:salt$key:key"


def is_verifier(text: str) -> bool:
    """Whether this is a verifier of SCRAM-SHA-256 as PostgreSQL writes it, of 4096 iterations or some more."""
    mechanism, _, rest = text.partition("$")
    parameters, _, keys = rest.partition("$")
    iterations, _, salt = parameters.partition(":")
    if mechanism != "SCRAM-SHA-256" or not is_iterations(iterations, LEAST_ITERATIONS):
        return False
    try:
        decoded = [base64.b64decode(one, validate=True) for one in (salt, *keys.split(":"))]
    except ValueError:
        return False
    return bool(decoded[0]) and [len(one) for one in decoded[1:]] == [DIGEST_BYTES, DIGEST_BYTES]


def is_user_key(text: str) -> bool:
    """Whether this is the public NKey of a user: base32 of a prefix, 32 bytes, and their CRC-16."""
    if len(text) != USER_KEY_LENGTH:
        return False
    try:
        raw = base64.b32decode(text)
    except (binascii.Error, ValueError):
        return False
    return raw[0] == USER_KEY_PREFIX and binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") == raw[-2:]


def is_hash(password: str) -> bool:
    """Whether a configured password is a hash rather than plain text."""
    return is_bcrypt(password) or password.startswith((PBKDF2_PREFIX, SALTED_PREFIX))


def is_bcrypt(password: str) -> bool:
    cost = password[4:6]
    return password.startswith(HASH_PREFIXES) and cost.isascii() and cost.isdecimal() and password[6:7] == "$"


def hash_fault(password: str) -> str:
    """What is wrong with a configured password that is meant to be a hash."""
    if not is_hash(password):
        if password.startswith(FOREIGN_PREFIXES):
            return "a hash of a kind that is not known here; `leafgate passwd` makes one"
        return "" if password else "it is empty"
    if not is_bcrypt(password):
        return "" if parse_sha512(password) else "this is no hash as mosquitto_passwd or `leafgate passwd` makes one"
    if len(password) != HASH_LENGTH:
        return f"a bcrypt hash has {HASH_LENGTH} characters, this one {len(password)}; `leafgate passwd` makes one"
    if not HASH_LETTERS.issuperset(password[7:]):
        return "there is a character in it that no bcrypt hash has; `leafgate passwd` makes one"
    if int(password[4:6]) not in HASH_COSTS:
        least, most = HASH_COSTS.start, HASH_COSTS.stop - 1
        return f"the cost of the hash is not between {least} and {most}, of which a check takes a second"
    return ""


def parse_sha512(password: str) -> tuple[int, bytes, bytes] | None:
    """Iterations (0: $6$, which has none), salt and digest of a hash of mosquitto_passwd; None where it is none."""
    iterations, dollar, rest = password[len(PBKDF2_PREFIX) :].partition("$")
    if password.startswith(SALTED_PREFIX):
        count, rest = 0, f"{iterations}{dollar}{rest}"
    elif not (password.startswith(PBKDF2_PREFIX) and is_iterations(iterations)):
        return None
    else:
        count = int(iterations)
    salt, _, digest = rest.partition("$")
    try:
        decoded = base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
    except ValueError:
        return None
    return (count, *decoded) if 0 < len(decoded[0]) <= LARGEST_SALT and len(decoded[1]) == SHA512_BYTES else None


def is_iterations(text: str, least: int = 1) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 9 and least <= int(text) <= MOST_ITERATIONS
