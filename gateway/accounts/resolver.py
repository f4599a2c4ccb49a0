"""Resolvers: where the JWTs of accounts are, by the accounts' public keys. They hold texts and trust none of them."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from gateway.accounts import nkeys
from gateway.accounts.jwt import LONGEST

SUFFIX = ".jwt"
DELETED_SUFFIX = ".jwt.deleted"
# Accounts that a directory may hold.
MOST_ACCOUNTS = 65_536

# Of a file, when it was read: a change of any of it (time, inode, size) is another file.
Look = tuple[int, int, int]


class ResolverError(Exception):
    """The place of the JWTs cannot be read or written, in one sentence."""


class Resolver(Protocol):
    """`is_immediate`: it takes no time; others are asked in a thread."""

    is_immediate: bool

    def fetch(self, public: str) -> str | None:
        """The token of an account, to be used; None where there is none. Raises ResolverError."""

    def read(self, public: str) -> str | None:
        """The same, to be shown."""

    def changed(self, publics: Iterable[str]) -> set[str]:
        """Those of these accounts whose token may be another one than when it was fetched last."""

    def save(self, public: str, token: str) -> None:
        """Keep a token instead of what was there. Raises ResolverError."""

    def delete(self, public: str) -> None:
        """Put a token aside, where nobody looks for it. Raises ResolverError."""

    def accounts(self) -> list[str]:
        """The public keys of all accounts. Raises ResolverError."""


class MemoryResolver:
    """Tokens that the configuration holds; no request changes them."""

    is_immediate = True

    def __init__(self, preload: dict[str, str]) -> None:
        self.preload = preload
        self._fetched: dict[str, str] = {}

    def fetch(self, public: str) -> str | None:
        token = self.preload.get(public)
        if token is not None:
            self._fetched[public] = token
        return token

    def read(self, public: str) -> str | None:
        return self.preload.get(public)

    def changed(self, publics: Iterable[str]) -> set[str]:
        return {public for public in publics if self.preload.get(public) != self._fetched.get(public)}

    def save(self, public: str, token: str) -> None:
        raise ResolverError("the accounts are in the configuration")

    def delete(self, public: str) -> None:
        raise ResolverError("the accounts are in the configuration")

    def accounts(self) -> list[str]:
        return sorted(self.preload)


class DirectoryResolver:
    """Tokens in a directory, each in a file `<public key>.jwt`, which somebody else may write, too."""

    is_immediate = False

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # As the files were whose tokens are used. Tokens of strangers are not kept in mind.
        self._seen: dict[str, Look | None] = {}

    def fetch(self, public: str) -> str | None:
        token, look = self._open(public)
        if look is None:
            self._seen.pop(public, None)
        else:
            self._seen[public] = look
        return token

    def read(self, public: str) -> str | None:
        return self._open(public)[0]

    def changed(self, publics: Iterable[str]) -> set[str]:
        return {public for public in publics if self._look(public) != self._seen.get(public)}

    def save(self, public: str, token: str) -> None:
        path = self._path(public)
        beside = path.with_suffix(f".{secrets.token_hex(8)}.new")
        try:
            if not path.exists() and len(self.accounts()) >= MOST_ACCOUNTS:
                raise ResolverError(f"{self.directory} holds {MOST_ACCOUNTS} accounts already")
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(token.encode())
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(path)
            except OSError:
                beside.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ResolverError(f"{path} cannot be written: {(error.strerror or '').lower()}") from None

    def delete(self, public: str) -> None:
        path = self._path(public)
        try:
            path.replace(path.with_suffix(DELETED_SUFFIX))
        except OSError as error:
            raise ResolverError(f"{path} cannot be removed: {(error.strerror or '').lower()}") from None

    def accounts(self) -> list[str]:
        try:
            names = [entry.name for entry in os.scandir(self.directory)]
        except OSError as error:
            raise ResolverError(f"{self.directory} cannot be read: {(error.strerror or '').lower()}") from None
        publics = (name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))
        return sorted(public for public in publics if nkeys.is_public(public, nkeys.ACCOUNT))

    def _open(self, public: str) -> tuple[str | None, Look | None]:
        path = self._path(public)
        try:
            with path.open("rb") as file:
                look = _look_of(os.fstat(file.fileno()))
                content = file.read(LONGEST + 1)
        except FileNotFoundError:
            return None, None
        except OSError as error:
            raise ResolverError(f"{path} cannot be read: {(error.strerror or '').lower()}") from None
        if len(content) > LONGEST:
            raise ResolverError(f"{path} is longer than {LONGEST} bytes")
        return content.decode("ascii", "replace").strip(), look

    def _look(self, public: str) -> Look | None:
        try:
            return _look_of(self._path(public).stat())
        except OSError:
            return None

    def _path(self, public: str) -> Path:
        """Only the key of an account is the name of a file."""
        if not nkeys.is_public(public, nkeys.ACCOUNT):
            raise ResolverError("that is no account")
        return self.directory / f"{public}{SUFFIX}"


def _look_of(status: os.stat_result) -> Look:
    return status.st_mtime_ns, status.st_ino, status.st_size
