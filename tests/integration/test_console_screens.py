"""The console looks as it did when somebody last looked at it: its rooms beside the pictures in console_screens.

After a change that is meant, look at what is new and keep it: `LEAFGATE_KEEP_SCREENS=1 pytest` of this file.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.console_browser import console_browser
from tests.integration.node_peers import NodeClient
from tests.integration.peers import Peer, gateway
from tests.integration.raw_peer import RawPeer

pytestmark = pytest.mark.one_form

KEPT = Path(__file__).with_name("console_screens")
SIZES = (("phone", 390, 844, "light"), ("desk", 1280, 800, "dark"))
ROOMS = {
    "now": "Messages out",
    "subjects": "hall",
    "clients": "pump",
    "devices": "devices.pump.presence",
    "streams": "ORDERS",
    "settings": "Nothing: the file is what is in force.",
}
# Of its squares: what other numbers in a sentence make of a picture is less.
MOST_UNLIKE = 0.04


@pytest.fixture(scope="module")
def edge() -> Iterator[Peer]:
    config = "[streams]\n[mqtt]\nmax-inflight = 70\n"
    # Its name is shown, and should always be of the same length.
    with (
        tempfile.TemporaryDirectory(prefix="leafgate-", dir="/tmp") as place,
        gateway(
            Path(place), protocols=("nats", "websocket"), config=config, data_directory=Path(place, "data")
        ) as peer,
    ):
        board = RawPeer(peer.address("nats"))
        board.send(b'CONNECT {"verbose":false,"name":"pump","presence":"devices.pump.presence"}\r\n')
        stream = b'{"name":"ORDERS","subjects":["orders.>"]}'
        board.send(b"SUB answers 1\r\nPUB $JS.API.STREAM.CREATE.ORDERS answers %d\r\n%b\r\n" % (len(stream), stream))
        board.read_through(b'"did_create":true')
        board.send(b"UNSUB 1\r\nPUB sensors.hall.temp 4\r\n21.5\r\nPING\r\n")
        board.read_through(b"PONG\r\n")
        yield peer
        board.socket.close()


@pytest.fixture(scope="module")
def page(edge: Peer) -> Iterator[NodeClient]:
    with console_browser(edge) as browser:
        yield browser


@pytest.mark.parametrize(("name", "width", "height", "scheme"), SIZES)
@pytest.mark.parametrize("room", ROOMS)
def test_room_looks_as_it_did(
    page: NodeClient, edge: Peer, tmp_path: Path, room: str, name: str, width: int, height: int, scheme: str
) -> None:
    page.call("open", place=f"#/{room}", width=width, height=height, scheme=scheme)
    if room == "subjects":
        peer = RawPeer(edge.address("nats"))
        page.call("see", text="subjects since somebody looks")
        peer.send(b"PUB hall.temp 4\r\n21.5\r\nPING\r\n")
        peer.read_through(b"PONG\r\n")
        peer.socket.close()
    page.call("see", text=ROOMS[room])
    picture = tmp_path / f"{room}-{name}.png"
    page.call("screenshot", path=str(picture))
    kept = KEPT / picture.name
    if os.environ.get("LEAFGATE_KEEP_SCREENS") == "1":
        KEPT.mkdir(exist_ok=True)
        kept.write_bytes(picture.read_bytes())
    assert kept.is_file(), f"there is no picture {kept.name} to compare with"
    assert page.call("unlike", path=str(picture), other=str(kept)) <= MOST_UNLIKE, f"look at {picture} beside {kept}"


def test_pictures_of_different_rooms_are_unlike(page: NodeClient) -> None:
    page.call("open", width=390, height=844)
    one, other = KEPT / "now-phone.png", KEPT / "devices-phone.png"
    assert page.call("unlike", path=str(one), other=str(other)) > MOST_UNLIKE
