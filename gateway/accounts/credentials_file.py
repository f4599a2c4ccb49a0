"""Credentials files (`.creds`): a user's JWT and the seed of its NKey, each between lines of dashes."""

from dataclasses import dataclass, field

from gateway.accounts.nkeys import KeyPair, NKeyError
from gateway.settings.paths import path_of
from gateway.settings.secret import Secret, read_secret

DASHES = "---"
# What stands between the lines of dashes.
WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.=")


class CredentialsFileError(ValueError):
    """A file of credentials that cannot be read or holds none. The sentence names the path and no part of it."""


@dataclass(frozen=True, slots=True)
class FileCredentials:
    """Who somebody is by such a file."""

    jwt: str = field(repr=False)
    key: KeyPair


def read_credentials(path: str) -> FileCredentials:
    """The credentials in a file, which not everybody may read. Raises CredentialsFileError."""
    try:
        text = read_secret({"file": path})
    except ValueError as error:
        raise CredentialsFileError(str(error)) from None
    try:
        return parse_credentials(text)
    except CredentialsFileError as error:
        raise CredentialsFileError(f"{path_of(path)}: {error}") from None


def parse_credentials(text: Secret) -> FileCredentials:
    """The first block is the JWT, the second one the seed. Raises CredentialsFileError."""
    blocks = decorated(text.value)
    if len(blocks) < 2:
        raise CredentialsFileError("it holds no JWT and seed between lines of dashes")
    try:
        return FileCredentials(blocks[0], KeyPair.of_seed(blocks[1]))
    except NKeyError as error:
        raise CredentialsFileError(f"its second block is no seed of a user: {error}") from None


def undecorated(text: str) -> str:
    """The first block of a text that has some, or all of it."""
    blocks = decorated(text)
    return blocks[0] if blocks else text.strip()


def decorated(text: str) -> list[str]:
    """The words that stand alone between two lines of dashes."""
    blocks: list[str] = []
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    index = 0
    while index + 2 < len(lines):
        word = lines[index + 1]
        if _opens(lines[index]) and word and WORD.issuperset(word) and _closes(lines[index + 2]):
            blocks.append(word)
            index += 3
        else:
            index += 1
    return blocks


def _opens(line: str) -> bool:
    """Dashes at the end, and again somewhere before them."""
    if not line.endswith(DASHES):
        return False
    first = line.find(DASHES)
    return first + 2 * len(DASHES) <= len(line)


def _closes(line: str) -> bool:
    """Dashes at both ends; behind the last ones nothing."""
    return line.startswith(DASHES) and line.endswith(DASHES) and len(line) >= 2 * len(DASHES)
