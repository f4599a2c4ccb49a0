"""A short run of what `make fuzz` does for long, on the installed form and without sanitizers."""

import pytest

from tests.forms.both_forms import installed_form
from tests.forms.switchboard import SAID, Record
from tests.fuzz.fuzzing import FaultError, Tally, check_what_peers_got, fuzz

SEEDS = range(300)


def test_random_scripts_show_no_fault() -> None:
    tally = Tally()
    for seed in SEEDS:
        try:
            fuzz(seed, tally)
        except BaseException as error:
            error.add_note(f"with seed {seed}")
            raise
    assert tally.scripts == len(SEEDS)
    assert tally.bytes_out > 1_000_000


def test_bytes_that_a_peer_would_not_understand_are_a_fault() -> None:
    sends = [[b""] for _ in SAID]
    sends[2] = [b"MSG a 1 5\r\nabc\r\n", b"MSG a 1 1\r\nx\r\n"]
    with pytest.raises(FaultError, match="peer 2 would not understand"):
        check_what_peers_got(installed_form(), Record(sends=sends))
