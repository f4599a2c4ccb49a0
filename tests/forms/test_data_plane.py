"""Sessions, router and outboxes send the same bytes in both forms, whoever says whatever."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.forms.both_forms import installed_form, needs_both_forms, pure_form
from tests.forms.switchboard import PENDING_LIMITS, SAID, Step, play, script

pytestmark = needs_both_forms


@pytest.mark.parametrize("max_pending", PENDING_LIMITS)
@given(seed=st.integers(0, 2**32))
def test_peers_get_equal_bytes(max_pending: int, seed: int) -> None:
    source = random.Random(seed)
    steps = script(source, length=source.choice((5, 20, 60)))
    installed, pure = play(installed_form(), steps, max_pending), play(pure_form(), steps, max_pending)
    assert installed.sends == pure.sends
    assert installed == pure


def test_peer_that_takes_nothing_is_closed_at_the_same_byte() -> None:
    publication = b"PUB a 1000\r\n" + b"x" * 1000 + b"\r\n"
    steps = [Step(0, b"SUB a 1\r\n", room=0), *(Step(1, publication) for _ in range(200))]
    installed, pure = play(installed_form(), steps, 100_000), play(pure_form(), steps, 100_000)
    assert installed == pure
    assert installed.standing[0]["closed"] == ("SLOW_CONSUMER_PENDING_BYTES", "")


def test_script_reaches_every_kind_of_peer() -> None:
    """The comparison would say nothing if nothing was delivered."""
    taken = [0] * len(SAID)
    for seed in range(20):
        record = play(installed_form(), script(random.Random(seed), 40), PENDING_LIMITS[-1])
        for number, standing in enumerate(record.standing):
            taken[number] += standing["messages out"]
    assert min(taken) > 100
