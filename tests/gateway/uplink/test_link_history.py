import trio
from trio.testing import MockClock

from gateway.uplink.link_history import FLAP_SECONDS, LinkHistory


async def test_link_that_never_came_up_is_down(autojump_clock: MockClock):
    history = LinkHistory()
    await trio.sleep(7)
    history.down("refused")
    assert history.fault() == "down for 7 s: refused"
    assert history.flaps == 0


async def test_what_another_end_says_moves_nobody_s_cursor(autojump_clock: MockClock):
    history = LinkHistory(str)
    history.failed("no\x1b[2J")
    assert history.last_error == "no?[2J"
    assert "\x1b" not in history.fault()


async def test_link_that_is_lost_again_and_again_is_at_fault_though_it_is_up(autojump_clock: MockClock):
    history = LinkHistory()
    for number in range(3):
        history.up("hub")
        assert history.fault() == ""
        history.failed(f"error {number}")
        history.down("closed")
        assert history.fault() == f"down for 0 s: error {number}"
    history.up("hub")
    history.down("closed")
    assert history.last_error == "closed"
    history.up("hub")
    assert history.flaps == 4
    assert "lost 3 times" in history.fault()
    assert history.fault().endswith(": closed")
    await trio.sleep(FLAP_SECONDS)
    assert history.fault() == ""
    assert (history.flaps, history.last_error) == (4, "closed")
