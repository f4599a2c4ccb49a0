"""The servers of the tests of streams: a hub with JetStream, directly and through a gateway."""

from collections.abc import Iterator

import pytest

from tests.integration.leafnode_pair import hub_and_edge
from tests.integration.peers import Peer


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Peer]]:
    with hub_and_edge(tmp_path_factory.mktemp("pair")) as peers:
        yield peers


@pytest.fixture
def hub(pair: tuple[Peer, Peer]) -> Peer:
    return pair[0]


@pytest.fixture(params=["direct", "gateway"])
def way(request: pytest.FixtureRequest) -> int:
    return int(request.param == "gateway")


@pytest.fixture
def server(way: int, pair: tuple[Peer, Peer]) -> Peer:
    return pair[way]
