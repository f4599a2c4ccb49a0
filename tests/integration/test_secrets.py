"""Nothing that the gateway writes or answers repeats a secret: neither a configured one nor a wrong one at any door."""

import base64
import itertools
import json
import secrets
import socket
import string
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from protocols.mqtt import encoder
from protocols.mqtt.packets import Connect
from tests.integration.peers import Peer, gateway
from tests.integration.raw_peer import RawPeer

# No part of a name of a test: that is the same wherever and whenever the test is collected.
MARK = "qZx7" + "".join(secrets.choice(string.ascii_letters) for _ in range(12))
RIGHT, WRONG = f"{MARK}-right", f"{MARK}-wrong"
JWT = f"eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.{base64.urlsafe_b64encode(WRONG.encode()).decode()}.{WRONG}"
SEED = "SU" + MARK.upper().replace("1", "A") + "A" * (54 - len(MARK))
BASIC = base64.b64encode(f"anna:{WRONG}".encode())
# All in which one may be recognised: as it is, in other letters, in base64.
MARKS = (MARK.lower(), SEED.lower(), BASIC.decode().lower(), MARK.encode().hex())
USERS = f"""
users = ["anna"]
[logging]
level = "debug"
[authentication]
token = "{RIGHT}-token"
[[users]]
name = "anna"
password = "{RIGHT}"
"""
COOKIES = 'cookies = { jwt = "jwt", token = "tk", user = "who", password = "pw" }'
UPGRADE = (
    "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
NUMBERS = itertools.count(1)
LOGINS = [
    {"user": "anna", "pass": WRONG},
    {"auth_token": WRONG},
    {"jwt": JWT, "sig": WRONG},
    {"jwt": WRONG},
    {"nkey": SEED, "sig": WRONG},
    {"user": "anna", "pass": [WRONG]},
    {"user": 5, "pass": WRONG},
    {"pass": WRONG},
    {"auth_token": WRONG, "protocol": "x", "verbose": 7},
]
LINES = [
    f'CONNECT {{"user":"anna","pass":"{WRONG}",}}',
    f'CONNECT {{"user":"anna" "pass":"{WRONG}"',
    f'CONNEC {{"pass":"{WRONG}"}}',
    f'CONNECT "{WRONG}"',
    f'CONNECT {{"pass":"{WRONG * 900}"}}',
    f"PASS {WRONG}",
    f"GET / HTTP/1.1\r\nAuthorization: Basic {WRONG}\r\n",
]
FIELDS = [
    f"Cookie: who=anna; pw={WRONG}",
    f"Cookie : pw={WRONG}",
    f"Cookie: jwt={JWT}; tk={WRONG}",
    f"Cookie: tk={WRONG}\x01",
    f" pw={WRONG}",
    f"Authorization : Basic {BASIC.decode()}",
    f"Authorization: Basic {BASIC.decode()}",
    f"Authorization: Bearer {WRONG}",
    f"Authorization: Basic {WRONG}",
    f"Origin: http://u:{WRONG}@x",
]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("edge")
    doors = ("nats", "mqtt", "websocket")
    with gateway(directory, protocols=doors, listener=COOKIES, config=USERS, monitoring=True) as peer:
        yield peer
        check(peer.log())
        assert "event=refused" in peer.log()
        assert "Traceback" not in peer.log()


def check(text: str) -> None:
    assert [mark for mark in MARKS if mark in text.lower()] == []


def hear(edge: Peer, door: str, said: bytes) -> None:
    """What the gateway answers tells nothing. Each comes from elsewhere: who fails often is not looked at."""
    source = (f"127.0.1.{next(NUMBERS)}", 0)
    with socket.create_connection(edge.address(door), 10, source) as peer:
        peer.settimeout(0.3)
        heard = b""
        with suppress(OSError):
            peer.sendall(said)
            while data := peer.recv(1 << 16):
                heard += data
    check(heard.decode("latin-1"))


def test_monitoring_tells_nothing_of_those_who_are_in(edge: Peer) -> None:
    right = base64.b64encode(f"anna:{RIGHT}".encode()).decode()
    logins: tuple[dict[str, str], ...] = ({"user": "anna", "pass": RIGHT}, {"auth_token": f"{RIGHT}-token"})
    for login in logins:
        with RawPeer(edge.address("nats")) as raw:
            raw.send(b"CONNECT " + json.dumps(login).encode() + b"\r\nPING\r\n")
            raw.read_through(b"PONG\r\n")
            for path in ("/varz", "/connz?auth=1&state=all&subs=1", "/accountz?acc=$G", "/accstatz", "/healthz"):
                field = f"Authorization: Basic {right}"
                said = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n\r\n"
                hear(edge, "monitoring", said.encode())


@pytest.mark.parametrize("login", LOGINS, ids=range(len(LOGINS)))
def test_nats(edge: Peer, login: dict[str, object]) -> None:
    hear(edge, "nats", b"CONNECT " + json.dumps(login).encode() + b"\r\nPING\r\n")


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_lines_that_are_no_login(edge: Peer, line: str) -> None:
    hear(edge, "nats", line.encode() + b"\r\n")


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("password", [WRONG, JWT], ids=["password", "jwt"])
def test_mqtt(edge: Peer, version: int, password: str) -> None:
    hear(edge, "mqtt", encoder.encode_connect(Connect(version, b"c", username=b"anna", password=password.encode())))
    packet = encoder.encode_connect(Connect(version, b"c", username=b"anna", password=password.encode()))
    hear(edge, "mqtt", packet[:1] + bytes((packet[1] - 3,)) + packet[2:])


@pytest.mark.parametrize("field", FIELDS, ids=range(len(FIELDS)))
def test_http(edge: Peer, field: str) -> None:
    hear(edge, "websocket", f"GET /?pw={WRONG} HTTP/1.1\r\n{UPGRADE}{field}\r\n\r\n".encode())
    for path in ("/varz", "/connz?auth=1&state=all&subs=1", f"/nothing?pw={WRONG}"):
        hear(edge, "monitoring", f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n\r\n".encode())


def test_request_lines(edge: Peer) -> None:
    for door in ("websocket", "monitoring"):
        hear(edge, door, f"GET /?pw={WRONG} x HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        hear(edge, door, f"POST /?pw={WRONG} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


def test_secrets_that_are_wrong_in_the_file(tmp_path: Path) -> None:
    for text in (
        f'[authentication]\ntoken = ["{WRONG}"]\n',
        f'[[users]]\nname = "a"\npassword = {{ value = "{WRONG}" }}\n',
        f'[[users]]\nname = "a"\nscram = "{WRONG}"\n',
        f'[[users]]\nnkey = "{SEED}"\n',
        f'[[users]]\nname = "a"\npassword = "$7$101${WRONG}$x"\n',
        f'[[users]]\nname = "a"\npassword = "{WRONG}\n',
        f'[[uplinks]]\nurls = ["nats://u:{WRONG}/@h"]\n',
        f'[[uplinks]]\nurls = ["nats://h"]\nnkey = "{WRONG}"\n',
    ):
        file = tmp_path / "leafgate.toml"
        file.write_text(text)
        for command in (["check", "-c", str(file)], ["reload", "-c", str(file)]):
            done = subprocess.run([sys.executable, "-m", "gateway", *command], capture_output=True, check=False)
            assert done.returncode != 0 or "uplinks" in text
            check((done.stdout + done.stderr).decode())
