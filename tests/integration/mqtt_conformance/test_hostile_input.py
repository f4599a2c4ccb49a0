"""Damaged packets in every state of a connection: each ends its own connection at most, and nobody else notices.

The long form is `tests/fuzz/mqtt_campaign.py`.
"""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.integration.mqtt_conformance.hostile import VERSIONS, Offence, offences, preludes
from tests.integration.mqtt_conformance.marks import VERSION_NAMES
from tests.integration.mqtt_conformance.raw_client import MQTT_3_1_1, Clients, RawClient
from tests.integration.mqtt_conformance.request_and_reply import RequestAndReply
from tests.integration.peers import Peer

SAMPLE = 1500
SEED = 4


@contextmanager
def undisturbed(clients: Clients) -> Iterator[None]:
    """Two healthy clients go on all the while; fail if they do not."""
    healthy = RequestAndReply(clients)
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(healthy.go_on)
        try:
            yield
        finally:
            healthy.end()
        going.result()
    before = healthy.rounds
    assert before
    healthy.exchange()


def offend(server: Peer, offence: Offence) -> None:
    """Send it all, then the end of the stream, and read what the server says, which must be legal, to its end."""
    with RawClient(server.address("mqtt"), offence.version) as peer:
        try:
            peer.send(offence.prelude, offence.bad)
            peer.send_eof()
        except (ConnectionError, OSError):
            pass  # Closed before it had heard everything.
        if offence.prelude:
            peer.rest()
        else:
            peer.remaining_bytes()  # In the version that the damaged CONNECT asks for.


@pytest.mark.parametrize("version", VERSIONS, ids=VERSION_NAMES.get)
@pytest.mark.parametrize("state", preludes(MQTT_3_1_1))
def test_damaged_packets_disturb_nobody(server: Peer, clients: Clients, version: int, state: str) -> None:
    found = [one for one in offences(random.Random(SEED)) if (one.version, one.state) == (version, state)]
    sample = random.Random(SEED).sample(found, min(SAMPLE, len(found)))
    with undisturbed(clients):
        for offence in sample:
            offend(server, offence)


@pytest.mark.parametrize("version", VERSIONS, ids=VERSION_NAMES.get)
def test_connections_cut_anywhere_disturb_nobody(server: Peer, clients: Clients, version: int) -> None:
    """A whole conversation that ends after every number of bytes."""
    whole = preludes(version)["QoS 2 in flight"]
    with undisturbed(clients):
        for end in range(len(whole)):
            offend(server, Offence(version, "cut", b"", whole[:end]))


def test_storm_of_noise_disturbs_nobody(server: Peer, clients: Clients) -> None:
    noise = random.Random(SEED)
    with undisturbed(clients):
        for version in VERSIONS:
            for prelude in preludes(version).values():
                for size in (1, 2, 10, 1000, 20_000):
                    offend(server, Offence(version, "noise", prelude, noise.randbytes(size)))
