"""When the loop waits awake for the next batch, and when it has learnt not to."""

from gateway.transport.busy_poll import BEGIN_AFTER, CLOSE_SECONDS, MOST_NEEDED, PAYS, BusyPoll

NEAR, FAR = CLOSE_SECONDS / 2, CLOSE_SECONDS * 3


class Traffic:
    """Tells of batches, and counts waits in vain."""

    def __init__(self) -> None:
        self.poll = BusyPoll()
        self.now = 1.0
        self.in_vain = 0

    def clump(self, batches: int) -> bool:
        """So many batches close together, and then a pause; whether the loop was awake at their end."""
        for _ in range(batches):
            self.now += NEAR
            self.poll.batch(self.now)
        awake = self.poll.is_awake(self.now)
        self.in_vain += awake
        self.now += FAR
        assert not self.poll.is_awake(self.now)
        return awake


def test_batches_that_follow_each_other_closely_are_waited_for_awake():
    traffic = Traffic()
    assert not traffic.clump(BEGIN_AFTER)
    assert traffic.clump(BEGIN_AFTER + 2)


def test_clumps_are_hardly_waited_for_in_vain():
    """However long: each length is waited for a few times, and no longer."""
    traffic = Traffic()
    for _ in range(1000):
        traffic.clump(BEGIN_AFTER + PAYS // 2)
    assert 1 <= traffic.in_vain <= 3


def test_a_long_exchange_is_waited_for_also_after_clumps():
    traffic = Traffic()
    for size in range(BEGIN_AFTER, MOST_NEEDED):
        traffic.clump(size)
    assert traffic.clump(MOST_NEEDED + PAYS + 1)
    assert traffic.clump(BEGIN_AFTER + 2)


def test_the_wait_ends_when_nothing_comes():
    poll = BusyPoll()
    now = 1.0
    for _ in range(BEGIN_AFTER + 2):
        now += NEAR
        poll.batch(now)
    assert poll.is_awake(now + CLOSE_SECONDS * 0.9)
    assert not poll.is_awake(now + CLOSE_SECONDS * 1.1)
