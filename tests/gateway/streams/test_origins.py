"""How origins of streams are told apart, and what their consumers say of a message."""

import pytest

from gateway.streams.errors import ApiError
from gateway.streams.inflow_messages import Place, place_of
from gateway.streams.name_hash import name_hash
from gateway.streams.origin_check import check_origins, complete_origins
from gateway.streams.origin_config import External, StreamOrigin, TransformConfig
from gateway.streams.stream_config import StreamConfig, complete


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        (b"$JS.ACK.S.C.1.22.3.1700000000000000000.7", Place(b"C", 1, 22, 3, 1_700_000_000_000_000_000, 7)),
        (b"$JS.ACK.hub.abcdefgh.S.C.1.22.3.17.7", Place(b"C", 1, 22, 3, 17, 7)),
        (b"$JS.ACK._.abcdefgh.S.C.1.22.3.17.7.random", Place(b"C", 1, 22, 3, 17, 7)),
    ],
)
def test_a_reply_subject_says_where_a_message_is(reply: bytes, place: Place) -> None:
    assert place_of(reply) == place


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"_INBOX.x",
        b"$JS.ACK.S.C.1.2.3.4",
        b"$JS.ACK.S.C.1.2.x.4.5",
        b"$JS.FC.S.C.1.2.3.4.5",
        b"$JS.ACK." + b"9" * 99,
    ],
)
def test_others_do_not(reply: bytes) -> None:
    assert place_of(reply) is None


def test_the_name_of_a_source_has_all_that_makes_it_another() -> None:
    plain = StreamOrigin("A")
    assert plain.index == "A > >"
    assert StreamOrigin("A", filter_subject="a.*").index == "A a.* >"
    several = [TransformConfig("a.*", "b.$1"), TransformConfig("c", "")]
    assert StreamOrigin("A", subject_transforms=several).index == "A a.*\fc b.$1\f>"
    assert StreamOrigin("A", external=External("$JS.hub.API")).index == f"A:{name_hash('$JS.hub.API')} > >"


def config(name: str, **more: object) -> StreamConfig:
    made = StreamConfig(name, **more)  # type: ignore[arg-type]
    complete(made)
    return made


def test_a_circle_of_streams_is_refused_however_long() -> None:
    others = {
        "A": config("A", sources=[StreamOrigin("B")]),
        "B": config("B", mirror=StreamOrigin("C")),
    }
    with pytest.raises(ApiError, match="cycle"):
        check_origins(config("C", sources=[StreamOrigin("A")]), others)
    check_origins(config("C", sources=[StreamOrigin("A", external=External("$JS.hub.API"))]), others)


def test_a_mirror_is_read_directly_where_its_origin_is() -> None:
    mirror = config("M", mirror=StreamOrigin("A"))
    complete_origins(mirror, {"A": config("A", allow_direct=True)})
    assert mirror.mirror_direct
