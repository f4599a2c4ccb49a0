"""Releases for the air: signed, so that a device takes files from the holder of one key only."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firmware.device_identity import public_key, sign
from firmware.errors import DeviceError

# Shared with micropython/ota: 15 bytes, so that what is hashed fills exactly one block of SHA-512.
SIGNATURE_PREFIX = b"leafgate-update"
SIGNATURE_SIZE = 64
SEED_SIZE = 32
MAX_CHUNK = 4096
# Size in bytes and SHA-256 in hexadecimal.
FileEntry = tuple[int, str]


@dataclass(frozen=True, slots=True)
class ReleaseKey:
    """The key that signs updates. Whoever has its seed can put code onto every device that was made with it."""

    seed: bytes = field(repr=False)

    @property
    def public(self) -> bytes:
        return public_key(self.seed)


def load_release_key(path: Path, *, create: bool) -> ReleaseKey:
    """The key in a file, which is made when there is none and `create` is set. Raises DeviceError."""
    try:
        text = path.read_text("ascii").strip()
    except FileNotFoundError:
        if not create:
            raise DeviceError(
                f"{path} is not there; give the file that `device flash` made with --release-key"
            ) from None
        return _create(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceError(f"{path}: cannot be read: {error}") from None
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != SEED_SIZE:
        raise DeviceError(f"{path}: not a release key, which is one line of 64 hexadecimal digits")
    return ReleaseKey(seed)


def _create(path: Path) -> ReleaseKey:
    seed = secrets.token_bytes(SEED_SIZE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(seed.hex() + "\n")
    except OSError as error:
        raise DeviceError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None
    return ReleaseKey(seed)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which release a device runs, and its files by path inside the slot."""

    release: int
    files: Mapping[str, FileEntry]


class Release:
    """Files for one device, on offer: its signed manifest, and any part of any file by the digest of the whole.

    `kept` are files that the device has already and keeps, as its own manifest lists them; but for a module that comes
    in its other form, source or bytecode: MicroPython takes the source where it finds both.
    """

    def __init__(
        self,
        device: str,
        number: int,
        files: Mapping[str, bytes],
        key: ReleaseKey,
        kept: Mapping[str, FileEntry] | None = None,
    ) -> None:
        self.number = number
        self.files = dict(files)
        stay = {path: entry for path, entry in (kept or {}).items() if other_form(path) not in files}
        listed = stay | {path: (len(data), _digest(data)) for path, data in files.items()}
        fields = {"device": device, "release": number, "files": dict(sorted(listed.items()))}
        manifest = json.dumps(fields, separators=(",", ":")).encode()
        self.offer = sign(key.seed, SIGNATURE_PREFIX + hashlib.sha256(manifest).digest()) + manifest
        self._contents = {_digest(data): data for data in files.values()}

    def chunk(self, request: bytes) -> bytes:
        """The answer to `SHA256 OFFSET SIZE`; empty for what is not in this release."""
        words = request.split()
        if len(words) != 3 or not (words[1].isdigit() and words[2].isdigit()):
            return b""
        data = self._contents.get(words[0].decode("ascii", "replace"), b"")
        offset = int(words[1][:9])
        return data[offset : offset + min(int(words[2][:9]), MAX_CHUNK)]


def read_manifest(signed: bytes, key: ReleaseKey) -> Manifest:
    """A device's manifest. Raises DeviceError unless we signed it.

    What is kept gets signed again, so it must not be taken from whoever answers in the name of the device.
    """
    signature, manifest = signed[:SIGNATURE_SIZE], signed[SIGNATURE_SIZE:]
    # Ed25519 is deterministic: only we can make the same one.
    if not hmac.compare_digest(signature, sign(key.seed, SIGNATURE_PREFIX + hashlib.sha256(manifest).digest())):
        raise DeviceError("the device runs a release that was signed with another key; give that with --release-key")
    fields = json.loads(manifest)
    files = {path: (int(size), str(sha256)) for path, (size, sha256) in fields["files"].items()}
    return Manifest(int(fields["release"]), files)


def other_form(path: str) -> str | None:
    """The path of the same module as bytecode or source; None for what is no module."""
    stem, dot, suffix = path.rpartition(".")
    return {"py": stem + ".mpy", "mpy": stem + ".py"}.get(suffix) if dot else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
