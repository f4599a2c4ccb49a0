"""Short forms of the random walks, and a look at their measure."""

from pathlib import Path

import pytest

from protocols.mqtt.packets import Subscription
from tests.integration.mqtt_servers import only_gateway
from tests.torture.session_model import Expected, Model, matches
from tests.torture.walks import walk

STEPS = 120


@only_gateway("sends a copy for each subscription")
@pytest.mark.parametrize("seed", range(4))
def test_clients_get_what_the_model_says_through_crashes(tmp_path: Path, seed: int) -> None:
    walk(tmp_path, seed, STEPS)


def test_model_keeps_what_lasts() -> None:
    model = Model()
    assert not model.connect("a", 5, clean_start=False, lasting=True)
    assert model.subscribe("a", Subscription(b"t/+", 1), 7) == []
    model.crash()
    for qos in range(3):
        model.publish("b", b"t/x", b"%d" % qos, qos, retain=True)
    assert model.connect("a", 5, clean_start=False, lasting=False)
    queue = [Expected(b"t/x", b"%d" % qos, 1, False, (7,)) for qos in (1, 2)]
    assert model.sessions["a"].queue == queue
    assert model.subscribe("a", Subscription(b"#", 2), 0) == [Expected(b"t/x", b"2", 2, True)]
    model.leave("a")
    assert model.sessions == {}


@pytest.mark.parametrize(
    ("topic_filter", "topic", "fits"),
    [
        (b"t/#", b"t", True),
        (b"t/#", b"t/a/b", True),
        (b"t/+", b"t", False),
        (b"+/b", b"a/b", True),
        (b"#", b"$x", False),
        (b"$x/#", b"$x/a", True),
        (b"t/a", b"t/a/b", False),
    ],
)
def test_model_matches(topic_filter: bytes, topic: bytes, fits: bool) -> None:
    assert matches(topic_filter, topic) == fits
