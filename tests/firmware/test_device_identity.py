"""Identities made on the host: their text forms, and that a real nats-server lets their owner in."""

import base64
import json
import socket

import pytest

from firmware.device_identity import decode_seed, encode_nkey, encode_seed, make_identity, public_key, sign
from firmware.errors import DeviceError
from tests.integration.peers import nats_server
from tests.patience import PATIENCE_SECONDS

# From the documentation of NKeys: a user's seed and its public key.
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def test_text_forms_are_those_of_the_documentation():
    seed = decode_seed(SEED)
    assert encode_seed(seed) == SEED
    assert make_identity("nkey", "pump", seed).settings["nkey"] == PUBLIC


@pytest.mark.parametrize("text", ["", "SU", PUBLIC, SEED[:-1] + "A", SEED.lower(), "ü" * 58])
def test_what_is_no_seed_is_refused_and_not_repeated(text):
    with pytest.raises(DeviceError) as caught:
        decode_seed(text)
    assert text not in str(caught.value) or not text[2:]


def test_expanded_key_holds_what_a_device_signs_with():
    identity = make_identity("nkey", "pump", bytes(range(32)))
    expanded = bytes.fromhex(identity.settings["nkey_expanded"])
    assert len(expanded) == 96
    assert expanded[64:] == public_key(bytes(range(32)))


def test_secrets_are_in_no_text():
    identity = make_identity("nkey", "pump")
    assert identity.settings["nkey_seed"] not in repr(identity) + identity.snippet
    assert identity.settings["nkey"] in identity.snippet


def test_two_devices_never_share_an_identity():
    assert make_identity("nkey", "a").settings != make_identity("nkey", "a").settings
    assert make_identity("password", "a").settings != make_identity("password", "a").settings


def log_in(server, connect) -> bytes:
    """What a server answers to the CONNECT that `connect` makes from its nonce."""
    with (
        socket.create_connection(server.address("nats"), timeout=PATIENCE_SECONDS) as peer,
        peer.makefile("rb") as lines,
    ):
        nonce = json.loads(lines.readline().removeprefix(b"INFO ")).get("nonce", "")
        peer.sendall(b"CONNECT %b\r\nPING\r\n" % json.dumps(connect(nonce.encode()) | {"verbose": False}).encode())
        return lines.readline()


def test_nats_server_with_the_printed_snippet_lets_the_nkey_in(tmp_path):
    identity = make_identity("nkey", "pump")
    seed = decode_seed(identity.settings["nkey_seed"])

    def connect(nonce: bytes, seed: bytes = seed) -> dict[str, str]:
        signature = base64.urlsafe_b64encode(sign(seed, nonce)).decode().rstrip("=")
        return {"nkey": encode_nkey(bytes((20 << 3,)), public_key(seed)), "sig": signature}

    with nats_server(tmp_path, identity.snippet) as server:
        assert log_in(server, connect) == b"PONG\r\n"
        assert b"Authorization" in log_in(server, lambda nonce: connect(nonce, bytes(32)))


def test_nats_server_with_the_printed_snippet_lets_the_password_in(tmp_path):
    identity = make_identity("password", "pump")
    settings = identity.settings
    with nats_server(tmp_path, identity.snippet) as server:
        assert log_in(server, lambda _: {"user": "pump", "pass": settings["password"]}) == b"PONG\r\n"
        assert b"Authorization" in log_in(server, lambda _: {"user": "pump", "pass": "guess"})
