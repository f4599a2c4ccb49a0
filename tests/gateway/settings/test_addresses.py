"""Addresses and URLs as people write them."""

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.addresses import ServerUrl, join_address, parse_server_url, split_address

PORTS = {"nats": 4222}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("nats://localhost", ServerUrl("nats", "localhost", 4222)),
        ("NATS://localhost:1/", ServerUrl("nats", "localhost", 1)),
        ("nats://[::1]:1", ServerUrl("nats", "::1", 1)),
        ("nats://token@h", ServerUrl("nats", "h", 4222, "token")),
        ("nats://u:@h", ServerUrl("nats", "h", 4222, "u", "")),
        ("nats://u:p@ss@h", ServerUrl("nats", "h", 4222, "u", "p@ss")),
        ("nats://u%3A:p%2F%C3%A9@h", ServerUrl("nats", "h", 4222, "u:", "p/é")),
    ],
)
def test_url_is_taken_apart(text, url):
    assert parse_server_url(text, PORTS) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "nats:localhost",
        "http://h",
        "nats://",
        "nats://h:x",
        "nats://h/path",
        "nats://h?x=1",
        "nats://@h",
        "nats://%FF@h",
        "nats://u:p@",
        "nats://a b",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):
        parse_server_url(text, PORTS)


@given(st.text(min_size=1), st.none() | st.text())
def test_credentials_survive_percent_encoding_and_stay_out_of_the_text(user, password):
    credentials = quote(user, safe="") + ("" if password is None else ":" + quote(password, safe=""))
    url = parse_server_url(f"nats://{credentials}@h", PORTS)
    assert (url.user, url.password) == (user, password)
    assert str(url) == "nats://h:4222"


@given(st.text())
def test_only_value_errors_come_out_of_any_text(text):
    for parse in (split_address, lambda text: parse_server_url("nats://" + text, PORTS)):
        with contextlib.suppress(ValueError):
            parse(text)


def test_address_is_put_together_as_it_was_written():
    assert join_address(*split_address("[::1]:5")) == "[::1]:5"
    assert join_address(*split_address("127.0.0.1:5")) == "127.0.0.1:5"


@pytest.mark.parametrize(
    ("text", "host", "port", "path"),
    [
        ("wss://hub.example", "hub.example", 443, ""),
        ("wss://hub.example/", "hub.example", 443, ""),
        ("ws://a:b@hub.example:8080/nats/edge/", "hub.example", 8080, "/nats/edge"),
    ],
)
def test_a_websocket_may_have_a_path(text, host, port, path):
    url = parse_server_url(text, {"ws": 80, "wss": 443})
    assert (url.host, url.port, url.path) == (host, port, path)
    assert str(url).endswith(path)
    assert "a:b" not in str(url)
