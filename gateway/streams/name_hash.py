"""name_hash: the short hash by which nats-server tells names, and streams of one name, from one another."""

import hashlib

DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SIZE = 8


def name_hash(name: str) -> str:
    """Eight letters and digits."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return bytes(DIGITS[byte % len(DIGITS)] for byte in digest[:SIZE]).decode()
