"""X-Forwarded-For: whose word counts."""

from ipaddress import ip_network

import pytest

from protocols.websocket.forwarding import client_address

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", [], ""),
        ("10.0.0.1", ["192.0.2.7"], "192.0.2.7"),
        ("192.0.2.1", ["192.0.2.7"], ""),
        ("", ["192.0.2.7"], ""),
        ("10.0.0.1", ["198.51.100.1", "192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["192.0.2.7", "10.0.0.2"], "192.0.2.7"),
        ("10.0.0.1", ["10.0.0.9", "10.0.0.2"], "10.0.0.9"),
        ("::ffff:10.0.0.1", ["2001:DB8::1", "::ffff:10.1.1.1"], "2001:db8::1"),
        ("2001:db8::5", ["::ffff:192.0.2.7"], "192.0.2.7"),
        ("10.0.0.1", ["unknown"], ""),
        ("10.0.0.1", ["192.0.2.7", "unknown"], ""),
        ("10.0.0.1", ["unknown", "10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["1.2.3.4 cid=5"], ""),
    ],
)
def test_client_is_the_last_address_that_no_trusted_proxy_has(peer: str, forwarded: list[str], client: str):
    assert client_address(peer, forwarded, TRUSTED) == client


def test_long_list_is_looked_at_from_its_end_only():
    assert client_address("10.0.0.1", ["192.0.2.7"] + ["10.0.0.2"] * 10_000, TRUSTED) == "10.0.0.2"
