"""Faults: what is done to the gateway and its clients, one after the other and by chance."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tests.torture.chunk_damage import ChunkDamage
from tests.torture.disk_record import Loss
from tests.torture.harmed_gateway import HarmedGateway
from tests.torture.streams.visitors import Crowd

PAUSE_SECONDS = (0.1, 0.6)
CUT_SECONDS = (0.05, 0.6)
CUT = "connection cut"
FULL_SECONDS = 0.8
DAY = 86_400
FAULTS = {
    "killed": 5,
    "stopped": 1,
    "power cut": 6,
    "disk full": 2,
    "chunk damaged": 1,
    "log torn": 2,
    "clock stepped": 4,
}
# With these, what consumers have acknowledged may come again.
ROW_FAULTS = {"killed": 2, "row damaged": 4}
POWER_CUT = {"power cut": 1}
ROWS = (("stream", "note"), ("stream", "limits"), ("stream", "name"), ("cursor", "note"), ("gone", "bits"))


class Faults:
    """`counts` tells how many of each kind there were; what cannot be done here is in none of them."""

    def __init__(self, place: HarmedGateway, crowd: Crowd, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.damage = ChunkDamage(place.data)
        self._place = place
        self._crowd = crowd
        self._random = random.Random(seed)

    def harm(self, until: float, kinds: Mapping[str, int], least: int = 1) -> None:
        """Until that time, and so often at least. `kinds` tells how often each is chosen beside the others."""
        acts: dict[str, Callable[[], bool]] = {
            "killed": self.kill,
            "stopped": self._stop,
            "power cut": self._cut_power,
            "disk full": self._fill_disk,
            "chunk damaged": lambda: self._damage(self.damage.flip_chunk),
            "row damaged": lambda: self._damage(self._flip_row),
            "log torn": lambda: self._damage(self.damage.tear_log),
            "clock stepped": self._step_clock,
        }
        with self._cutting_clients():
            self._harm(until, kinds, least, acts)

    def _harm(self, until: float, kinds: Mapping[str, int], least: int, acts: Mapping[str, Callable[[], bool]]) -> None:
        while True:
            time.sleep(self._random.uniform(*PAUSE_SECONDS))
            (kind,) = self._random.choices(list(kinds), list(kinds.values()))
            self.counts[kind] += acts[kind]()
            least -= 1
            if least <= 0 and time.monotonic() >= until:
                return

    @contextmanager
    def _cutting_clients(self) -> Iterator[None]:
        """Beside everything else connections of clients are broken off, one at a time."""
        ended = threading.Event()
        chance = random.Random(self._random.random())

        def cut() -> None:
            while not ended.wait(chance.uniform(*CUT_SECONDS)):
                self.counts[CUT] += self._crowd.cut(chance)

        thread = threading.Thread(target=cut)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def kill(self) -> bool:
        self._place.gateway.kill()
        self._place.start_gateway()
        return True

    def _stop(self) -> bool:
        self._place.gateway.stop()
        self._place.start_gateway()
        return True

    def _cut_power(self) -> bool:
        if not self._place.has_record:
            return False
        self._place.cut_power(self._random.choice(list(Loss)), self._random.randrange(1 << 32))
        self._place.start_gateway()
        return True

    def _fill_disk(self) -> bool:
        place = self._place
        if not place.has_small_disk:
            return False
        place.fill_disk()
        try:
            time.sleep(self._random.uniform(0, FULL_SECONDS))
            if self._random.random() < 0.3:
                place.gateway.kill()
        finally:
            place.empty_disk()
        if place.gateway.is_dead():
            place.start_gateway()
        return True

    def _damage(self, act: Callable[[random.Random], bool]) -> bool:
        self._place.gateway.kill()
        happened = act(self._random)
        self._place.start_gateway()
        return happened

    def _flip_row(self, chance: random.Random) -> bool:
        return self.damage.flip_row(*chance.choice(ROWS), chance)

    def _step_clock(self) -> bool:
        if not self._place.has_clock:
            return False
        self._place.set_clock(self._random.randint(-40 * DAY, 40 * DAY))
        return True
