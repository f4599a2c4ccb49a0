"""The forms that a server's URL may have."""

import json
import subprocess

import pytest

from tests.micropython.unix_port import LIBRARY, find

URLS = {
    "host": ["nats", "host", 4222, {}],
    "host:4333": ["nats", "host", 4333, {}],
    "nats://host/": ["nats", "host", 4222, {}],
    "nats://user@host": ["nats", "host", 4222, {"auth_token": "user"}],
    "nats://user:pass@host:1": ["nats", "host", 1, {"user": "user", "pass": "pass"}],
    "nats://user:p@ss:word@host": ["nats", "host", 4222, {"user": "user", "pass": "p@ss:word"}],
    "nats://[fd00::1]": ["nats", "fd00::1", 4222, {}],
    "tls://[fd00::1]:4333": ["tls", "fd00::1", 4333, {}],
    "ws://host": ["ws", "host", 80, {}],
    "wss://user:pass@host/nats": ["wss", "host", 443, {"user": "user", "pass": "pass"}],
    "wss://host:8443": ["wss", "host", 8443, {}],
}


@pytest.mark.parametrize("url", URLS)
def test_url_is_read(url: str):
    program = f"import json; from leafgate.entry import parse; print(json.dumps(parse({url!r})))"
    line = [find("micropython"), "-c", program]
    told = subprocess.run(line, env={"MICROPYPATH": f"{LIBRARY}:.frozen"}, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == URLS[url]
