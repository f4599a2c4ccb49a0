"""Decoders give the same events in both forms, whatever comes and however it is cut."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.forms import traffic
from tests.forms.both_forms import Form, installed_form, needs_both_forms, pure_form
from tests.forms.plain_events import plain
from tests.protocols.nats.events import cut

pytestmark = needs_both_forms

MAX_PAYLOAD = 100_000
MAX_CONTROL_LINE = 300
HEADERS_AGREED = b'CONNECT {"headers":true}\r\n'

Decoder = Callable[[Form], Any]


def nats_server(form: Form) -> Any:
    return form["protocols.nats.server"].ServerDecoder(MAX_PAYLOAD, MAX_CONTROL_LINE)


def nats_client(form: Form) -> Any:
    return form["protocols.nats.client"].ClientDecoder(MAX_PAYLOAD)


def leafnode_spoke(form: Form) -> Any:
    return form["protocols.leafnode.spoke"].SpokeDecoder()


def leafnode_hub(form: Form) -> Any:
    return form["protocols.leafnode.hub"].HubDecoder(MAX_PAYLOAD, MAX_CONTROL_LINE)


def mqtt_server(form: Form) -> Any:
    return form["protocols.mqtt.decoder"].Decoder(MAX_PAYLOAD)


def frames(form: Form) -> Any:
    return form["protocols.websocket.frames"].FrameDecoder(False, None)


def compressed_frames(form: Form) -> Any:
    deflate = form["protocols.websocket.compression"].MessageDeflate(MAX_PAYLOAD, 15)
    return form["protocols.websocket.frames"].FrameDecoder(True, deflate)


# What each decoder understands, and what must come first.
ROLES = {
    "NATS": (nats_server, HEADERS_AGREED, traffic.nats_client),
    "NATS without headers": (nats_server, b"", traffic.nats_client),
    "leafnode": (leafnode_spoke, b"", traffic.hub),
    "leafnode, from a spoke": (leafnode_hub, b"CONNECT {}\r\n", traffic.hub),
    "MQTT 3.1": (mqtt_server, traffic.mqtt_connect(3, b"c"), traffic.mqtt_client),
    "MQTT 3.1.1": (mqtt_server, traffic.mqtt_connect(4, b"c"), traffic.mqtt_client),
    "MQTT 5.0": (mqtt_server, traffic.mqtt_connect(5, b"c"), traffic.mqtt_client),
    "WebSocket": (frames, b"", traffic.websocket_client),
    "WebSocket with compression": (compressed_frames, b"", traffic.websocket_client),
}
DECODERS = (nats_server, nats_client, leafnode_spoke, leafnode_hub, mqtt_server, frames, compressed_frames)


def events(decoder: Decoder, form: Form, pieces: list[bytes]) -> list[list[object]]:
    """What each piece gave. Formatted at the end: a message may not change with what comes after it."""
    codec = decoder(form)
    return [plain(found) for found in [codec.receive(piece) for piece in pieces]]


def assert_equal_in_both_forms(decoder: Decoder, pieces: list[bytes]) -> None:
    assert events(decoder, installed_form(), pieces) == events(decoder, pure_form(), pieces)


def test_forms_are_two() -> None:
    installed, pure = installed_form()["protocols.message"], pure_form()["protocols.message"]
    assert str(pure.__file__).endswith(".py")
    assert not str(installed.__file__).endswith(".py")
    assert installed.Message is not pure.Message


@pytest.mark.parametrize("decoder", DECODERS)
@given(data=st.binary(max_size=300), places=st.lists(st.integers(0, 300), max_size=6))
def test_random_bytes_give_equal_events(decoder: Decoder, data: bytes, places: list[int]) -> None:
    assert_equal_in_both_forms(decoder, cut(data, places))


@pytest.mark.parametrize("role", ROLES)
@given(source=st.randoms(use_true_random=False), broken=st.booleans())
def test_cut_streams_give_equal_events(role: str, source: random.Random, broken: bool) -> None:
    decoder, first, say = ROLES[role]
    stream = b"".join(say(source) for _ in range(source.randrange(1, 9)))
    if broken:
        stream = traffic.damaged(source, stream)
    assert_equal_in_both_forms(decoder, traffic.cut(source, first + stream))


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 2049])
def test_runs_cut_at_every_place_give_equal_events(size: int) -> None:
    stream = (b"PUB a.b %d\r\n%b\r\n" % (size, b"x" * size)) * 3
    for place in [*range(80), *range(len(stream) // 3 - 4, len(stream) // 3 + 20)]:
        assert_equal_in_both_forms(nats_server, cut(stream, [place]))
