"""Puts a release into the slot that does not run. Whatever moment the power goes, the running slot stays whole.

A release is its manifest: `{"device": "pump", "release": 7, "files": {"agent.py": [size, "sha256"], …}}`, paths inside
the slot, behind a signature of 64 bytes. So it travels, and so it lies in its slot.
"""

import binascii
import hashlib
import json
import os

MANIFEST = "manifest.signed"
SIGNATURE = 64
CHUNK = 1024
MAX_FILES = 100
PREFIX = b"leafgate-update"
DIRECTORY = 0x4000


class Refused(Exception):
    """The update is not for us, or did not arrive whole."""


async def check_signed(signed, key, device):
    """The manifest in `signed`. Raises Refused unless it is for `device` and signed with the secret of `key`."""
    from leafgate.ed25519 import verify

    if not await verify(key, signed[:SIGNATURE], PREFIX + hashlib.sha256(signed[SIGNATURE:]).digest()):
        raise Refused("the manifest is not signed by the release key of this device")
    manifest = json.loads(signed[SIGNATURE:])
    if manifest.get("device") != device:
        raise Refused("the manifest is for another device")
    return _check_manifest(manifest)


def _check_manifest(manifest):
    if not isinstance(manifest.get("release"), int) or not 0 < len(manifest.get("files", ())) <= MAX_FILES:
        raise Refused("the manifest is not understood")
    for path in manifest["files"]:
        if path == MANIFEST or path.startswith("/") or ".." in path.split("/") or "" in path.split("/"):
            raise Refused("the manifest names a path outside of the slot: " + path)
    return manifest


def read_manifest(slot):
    """The manifest of a slot (a path without a slash at the end), None when there is none."""
    try:
        with open(slot + "/" + MANIFEST, "rb") as file:
            return json.loads(file.read()[SIGNATURE:])
    except (OSError, ValueError):
        return None


def digest(path):
    """The SHA-256 of a file, in hexadecimal; None when there is no such file."""
    state = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK))
    try:
        with open(path, "rb") as file:
            while count := file.readinto(buffer):
                state.update(buffer[:count])
    except OSError:
        return None
    return binascii.hexlify(state.digest()).decode()


async def install(signed, current, target, fetch):
    """Make the slot `target` hold a release that was checked. `fetch(sha256, offset, size)` brings bytes of a file that
    changed.

    Returns the paths that were fetched. Raises Refused when a file does not arrive as the manifest has it, or does
    not fit. Started again after a power cut it goes on where it was.
    """
    files = json.loads(signed[SIGNATURE:])["files"]
    _remove(target + "/" + MANIFEST)  # until the end this slot is nothing
    _remove_others(target, "", files)
    fetched = []
    place = target
    try:
        for path, (size, sha256) in files.items():
            place = target + "/" + path
            if digest(place) == sha256:
                continue
            _make_folders(target, path)
            if digest(current + "/" + path) == sha256:
                source = _local(current + "/" + path)
            else:
                source = fetch
                fetched.append(path)
            await _write(place, size, sha256, source)
        _write_manifest(target, signed)
    except OSError as error:
        if error.errno == 28:
            raise Refused("no space left for " + place)
        raise
    return fetched


def is_whole(slot):
    """Whether every file of a slot is as its manifest has it."""
    manifest = read_manifest(slot)
    return manifest is not None and all(
        digest(slot + "/" + path) == want for path, (_, want) in manifest["files"].items()
    )


async def _write(place, size, sha256, source):
    with open(place, "wb") as file:
        offset = 0
        while offset < size:
            data = await source(sha256, offset, min(CHUNK, size - offset))
            if not data:
                raise Refused("the sender does not have all of %s; was it changed over the cable? Send it, too" % place)
            file.write(data)
            offset += len(data)
    # Read back from the flash, not taken from what was sent.
    if digest(place) != sha256:
        raise Refused("did not arrive whole: " + place)


def _local(path):
    async def read(_, offset, size):
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    return read


def _write_manifest(slot, signed):
    temporary = slot + "/" + MANIFEST + ".new"
    with open(temporary, "wb") as file:
        file.write(signed)
    os.rename(temporary, slot + "/" + MANIFEST)


def _make_folders(slot, path):
    place = slot
    for part in [None] + path.split("/")[:-1]:
        if part:
            place += "/" + part
        try:
            os.mkdir(place)
        except OSError as error:
            if error.errno != 17:
                raise


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def _remove_others(slot, folder, files):
    """Delete what the release does not have, and folders that are empty then."""
    try:
        entries = list(os.ilistdir(slot + folder))
    except OSError:
        return
    for entry in entries:
        path = folder + "/" + entry[0]
        if entry[1] == DIRECTORY:
            _remove_others(slot, path, files)
            try:
                os.rmdir(slot + path)
            except OSError:
                pass  # not empty
        elif path[1:] not in files:
            _remove(slot + path)
