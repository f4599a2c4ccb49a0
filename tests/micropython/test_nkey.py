"""Logins of a real MicroPython at a real nats-server: NKeys as a seed and expanded, passwords, tokens."""

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from firmware.device_identity import make_identity, sign
from tests.integration.peers import nats_server
from tests.micropython.device_peer import ask, meet, refused
from tests.micropython.unix_port import board, compiled

KEY = make_identity("nkey", "shed", bytes(range(32))).settings
OTHER = make_identity("nkey", "shed", bytes(32)).settings
NOBODY = 'no_auth_user: "other"'
# Whoever asks the device comes without a login.
OTHERS = '{ user: "other", password: "" }'


def users(*logins: str) -> str:
    return f"{NOBODY}\nauthorization {{ users: [{OTHERS}, {', '.join(logins)}] }}"


@pytest.mark.parametrize("form", ["nkey_seed", "nkey_expanded"])
def test_nkey_is_let_in(tmp_path: Path, form: str):
    with nats_server(tmp_path, users(f"{{ nkey: {KEY['nkey']} }}")) as server:
        meet(server.url(), server.url(), nkey=KEY[form])
        assert "Authorization Violation" in refused(server.url(), nkey=OTHER[form])


def test_nkey_needs_little_memory(tmp_path: Path):
    library = compiled(tmp_path / "library")
    with nats_server(tmp_path / "server", users(f"{{ nkey: {KEY['nkey']} }}")) as server:
        options = {"nkey": KEY["nkey_expanded"], "rx": 512}
        with board("node.py", server.url(), json.dumps(options), heap="64k", library=library) as device:
            device.until("connected")
            asyncio.run(ask(server.url(), [b"1", b"2"]))
            device.finished()
    alone = compiled(tmp_path / "alone", "ed25519", "nkey")
    with board("signatures.py", cases(tmp_path, 4), heap="32k", library=alone) as device:
        assert device.finished().split() == ["right"] * 4


def test_text_that_is_no_seed_is_told(tmp_path: Path):
    with nats_server(tmp_path, users(f"{{ nkey: {KEY['nkey']} }}")) as server:
        broken = KEY["nkey_seed"][:-1] + "A"
        for text in (broken, "SU", KEY["nkey"], "SU" + "a" * 56):
            assert "not the seed of a user's NKey" in refused(server.url(), nkey=text)


def test_user_and_password_are_let_in(tmp_path: Path):
    with nats_server(tmp_path, users('{ user: "shed", password: "open sesame" }')) as server:
        meet(server.url(), server.url(), user="shed", password="open sesame")
        meet(server.url().replace("//", "//shed:open sesame@"), server.url())
        assert "Authorization Violation" in refused(server.url(), user="shed", password="open")


def test_token_is_let_in(tmp_path: Path):
    with nats_server(tmp_path, 'authorization { token: "sesame" }') as server:
        with_token = server.url().replace("//", "//sesame@")
        meet(server.url(), with_token, token="sesame")
        meet(with_token, with_token)
        assert "Authorization Violation" in refused(server.url(), token="open")


def cases(directory: Path, count: int) -> Path:
    """A file with what the library makes of some seeds."""
    made = []
    for number in range(count):
        seed, message = hashlib.sha256(b"%d" % number).digest(), bytes(number * 37)
        identity = make_identity("nkey", "shed", seed).settings
        made.append(identity | {"message": message.hex(), "signature": sign(seed, message).hex()})
    file = directory / "cases.json"
    file.write_text(json.dumps(made))
    return file


def test_device_signs_verifies_and_expands_as_the_library_does(tmp_path: Path):
    with board("signatures.py", cases(tmp_path, 8)) as device:
        assert device.finished().split() == ["right"] * 8
