"""The server under test: the gateway, or a real mosquitto, which shows that the tests themselves are right.

`LEAFGATE_CONFORMANCE_SERVER=mosquitto` chooses the latter; where it is known to deviate, its failure is expected.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mqtt_conformance.deviations import MOSQUITTO_DEVIATES, MOSQUITTO_LACKS
from tests.integration.mqtt_conformance.raw_client import Clients
from tests.integration.mqtt_conformance.server import MAX_INFLIGHT, MAX_KEEP_ALIVE, MAX_PACKET
from tests.integration.peers import Peer, gateway, mosquitto

HERE = Path(__file__).parent
SERVER = os.environ.get("LEAFGATE_CONFORMANCE_SERVER", "gateway")

GATEWAY_CONFIG = f"""
[mqtt]
max-inflight = {MAX_INFLIGHT}
receive-maximum = {MAX_INFLIGHT}
max-packet-bytes = {MAX_PACKET}
max-keep-alive-seconds = {MAX_KEEP_ALIVE}
[timeouts]
connect-seconds = 20
"""
MOSQUITTO_CONFIG = f"""
max_inflight_messages {MAX_INFLIGHT}
max_packet_size {MAX_PACKET}
max_keepalive {MAX_KEEP_ALIVE}
set_tcp_nodelay true
"""


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    directory = tmp_path_factory.mktemp("server")
    if SERVER == "mosquitto":
        with mosquitto(directory, MOSQUITTO_CONFIG) as peer:
            yield peer
    else:
        with gateway(directory, protocols=("nats", "mqtt"), config=GATEWAY_CONFIG) as peer:
            yield peer
            assert "Traceback" not in peer.log()


@pytest.fixture
def clients(server: Peer) -> Iterator[Clients]:
    with Clients(server.address("mqtt")) as made:
        yield made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if SERVER != "mosquitto":
        return
    for item in items:
        if item.path.parent != HERE:
            continue
        name = item.name.partition("[")[0]
        for known in (item.name, name):
            if known in MOSQUITTO_DEVIATES:
                item.add_marker(pytest.mark.xfail(reason=MOSQUITTO_DEVIATES[known], strict=False))
            if known in MOSQUITTO_LACKS:
                item.add_marker(pytest.mark.skip(reason=MOSQUITTO_LACKS[known]))
