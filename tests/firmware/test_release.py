"""Signed releases: what the host signs, the device's own code accepts, and nothing else."""

import asyncio
import hashlib
import importlib.util
import json
import shutil

import pytest

from firmware.device_files import CLIENT_PACKAGE, DeviceSettings, client_files, first_files, is_ours, release_files
from firmware.device_identity import make_identity, sign
from firmware.errors import DeviceError
from firmware.release import SIGNATURE_PREFIX, SIGNATURE_SIZE, Release, ReleaseKey, load_release_key, read_manifest
from tests.micropython.unix_port import compiled

KEY, OTHER_KEY = ReleaseKey(bytes(range(32))), ReleaseKey(bytes(32))
FILES = {"agent.py": b"pass", "lib/x.py": bytes(5000)}


@pytest.fixture(scope="module")
def ed25519():
    spec = importlib.util.spec_from_file_location("ed25519", CLIENT_PACKAGE / "ed25519.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def accepted(ed25519, offer: bytes, key: ReleaseKey) -> bool:
    message = SIGNATURE_PREFIX + hashlib.sha256(offer[SIGNATURE_SIZE:]).digest()
    return asyncio.run(ed25519.verify(key.public, offer[:SIGNATURE_SIZE], message))


def test_device_accepts_what_its_key_signed_and_no_other_byte(ed25519):
    offer = Release("pump", 7, FILES, KEY).offer
    assert accepted(ed25519, offer, KEY)
    assert not accepted(ed25519, offer, OTHER_KEY)
    for position in (0, 31, 32, 63, 64, len(offer) - 1):
        changed = bytearray(offer)
        changed[position] ^= 4
        assert not accepted(ed25519, bytes(changed), KEY)


def test_device_refuses_a_signature_with_a_number_that_is_not_reduced(ed25519):
    offer = Release("pump", 7, FILES, KEY).offer
    twice = int.from_bytes(offer[32:64], "little") + ed25519.L
    assert not accepted(ed25519, offer[:32] + twice.to_bytes(32, "little") + offer[64:], KEY)


@pytest.mark.parametrize("size", [0, 1, 110, 111, 112, 127, 128, 129, 1000])
def test_sha512_of_the_device_is_that_of_the_library(ed25519, size):
    data = bytes(i % 256 for i in range(size))
    assert ed25519.sha512(data) == hashlib.sha512(data).digest()


@pytest.mark.parametrize("number", range(5))
def test_login_that_the_device_signs_is_that_of_the_library(ed25519, number):
    seed, message = bytes((number,)) * 32, bytes(range(number * 40))
    expanded = bytes.fromhex(make_identity("nkey", "pump", seed).settings["nkey_expanded"])
    assert asyncio.run(ed25519.sign(expanded, message)) == sign(seed, message)


def test_manifest_lists_size_and_digest_of_every_file():
    manifest = json.loads(Release("pump", 7, FILES, KEY).offer[SIGNATURE_SIZE:])
    assert (manifest["device"], manifest["release"]) == ("pump", 7)
    assert manifest["files"]["lib/x.py"] == [5000, hashlib.sha256(bytes(5000)).hexdigest()]


def test_kept_files_stay_in_the_manifest_under_those_that_are_sent():
    first = Release("pump", 1, FILES, KEY)
    kept = dict(read_manifest(first.offer, KEY).files)
    second = Release("pump", 2, {"agent.py": b"new"}, KEY, kept)
    assert read_manifest(second.offer, KEY).release == 2
    assert read_manifest(second.offer, KEY).files == kept | {"agent.py": (3, hashlib.sha256(b"new").hexdigest())}
    assert second.chunk(kept["lib/x.py"][1].encode() + b" 0 10") == b""


@pytest.mark.parametrize(
    "signed", [b"", bytes(64), bytes(64) + b'{"files":{}}', Release("pump", 1, FILES, OTHER_KEY).offer]
)
def test_manifest_that_we_did_not_sign_is_not_kept(signed):
    with pytest.raises(DeviceError, match="another key"):
        read_manifest(signed, KEY)


def test_chunks_are_parts_of_the_file_with_a_digest():
    release = Release("pump", 7, FILES, KEY)
    digest = hashlib.sha256(b"pass").hexdigest().encode()
    assert release.chunk(digest + b" 0 1024") == b"pass"
    assert release.chunk(digest + b" 2 1") == b"s"
    assert release.chunk(digest + b" 9 1") == b""
    assert len(release.chunk(hashlib.sha256(bytes(5000)).hexdigest().encode() + b" 0 999999999")) == 4096


@pytest.mark.parametrize("request_", [b"", b"x", b"a b c", b"00 -1 5", b"\xff 0 1", b"00 0 1 2"])
def test_chunk_of_nonsense_is_empty(request_):
    assert Release("pump", 7, FILES, KEY).chunk(request_) == b""


def test_key_is_made_once_for_its_owner_only(tmp_path):
    path = tmp_path / "folder" / "release.key"
    made = load_release_key(path, create=True)
    assert load_release_key(path, create=False) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert made.seed.hex() not in repr(made)


def test_missing_and_wrong_keys_are_told(tmp_path):
    with pytest.raises(DeviceError, match="not there"):
        load_release_key(tmp_path / "none", create=False)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(DeviceError, match="64 hexadecimal digits"):
        load_release_key(tmp_path / "text", create=True)


def test_module_in_its_other_form_replaces_the_one_that_is_kept():
    kept = {"lib/x.py": (1, "11"), "application.mpy": (1, "22"), "x": (1, "33")}
    release = Release("pump", 2, {"lib/x.mpy": b"M", "application.py": b"", "x.mpy": b""}, KEY, kept)
    assert set(read_manifest(release.offer, KEY).files) == {"lib/x.mpy", "application.py", "x.mpy", "x"}


def test_client_goes_onto_boards_as_bytecode_where_there_is_any(tmp_path):
    shutil.copytree(CLIENT_PACKAGE, tmp_path / "leafgate")
    assert "leafgate/client.py" in client_files(tmp_path)
    compiled(tmp_path / "mpy")
    files = client_files(tmp_path)
    assert {path.rpartition(".")[2] for path in files} == {"mpy"}
    assert {"leafgate/__init__.mpy", "leafgate/client.mpy"} < files.keys()


def test_what_is_ours_is_not_the_application():
    assert all(is_ours(path) for path in release_files() if path != "application.py")
    assert not any(is_ours(path) for path in ("application.py", "lib/agent.py", "leafgate.py", "updates/x.py"))


def test_first_files_hold_start_release_choice_and_configuration():
    settings = DeviceSettings("pump", ("nats://192.0.2.1:4222",), "site", "net", "secret!!", KEY.public, {"user": "u"})
    files = first_files(settings, Release("pump", 1, release_files(), KEY))
    assert files["/slot"] == b"a\n"
    assert {"/main.py", "/boot_slots.py", "/a/agent.py", "/a/application.py", "/a/update/install.py"} < files.keys()
    configuration = json.loads(files["/device.json"])
    assert configuration["wifi"] == {"ssid": "net", "password": "secret!!"}
    assert configuration["release_key"] == KEY.public.hex()
    assert (configuration["settle_seconds"], configuration["restart_seconds"]) == (10, 3600)
    assert "secret!!" not in repr(settings)
    assert set(read_manifest(files["/a/manifest.signed"], KEY).files) == {
        path.removeprefix("/a/") for path in files if path.startswith("/a/")
    } - {"manifest.signed"}
