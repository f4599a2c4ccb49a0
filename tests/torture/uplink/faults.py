"""Faults: what is done to gateway, hub and the line between them, one after the other and by chance."""

import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import trio

from tests.torture.chunk_damage import ChunkDamage
from tests.torture.disk_record import Loss
from tests.torture.uplink.edge_site import DUPLICATE_WINDOW, Site
from tests.torture.uplink.hub_proxy import HubProxy

# Between two faults of the machines, and of the line.
PAUSE_SECONDS = (0.2, 2.0)
LINE_PAUSE_SECONDS = (0.02, 0.15)
DOWN_SECONDS = 0.3
GATHERING_SECONDS = (0.2, 1.0)
FULL_SECONDS = 1.0
SHARE_OF_CUTS_IN_OUTAGES = 0.5
LONG_OUTAGE_SECONDS = 1.5 * DUPLICATE_WINDOW
LINE_SECONDS = 0.4
DAY = 86_400

MACHINE_FAULTS = {
    "gateway killed": 6,
    "power cut": 6,
    "hub killed": 3,
    "hub stopped": 1,
    "both killed": 1,
    "long outage": 2,
    "disk full": 2,
    "chunk damaged": 2,
    "cursor damaged": 1,
    "log torn": 2,
    "clock stepped": 2,
}
# The kinds of a run in which only the gateway comes to harm.
GATEWAY_KILLED, POWER_CUT = {"gateway killed": 1}, {"power cut": 1}
LINE_FAULTS = {"cut": 3, "reset": 3, "half-close": 3, "swallow": 2, "delay": 2, "trickle": 2}


class Faults:
    """`counts` tells how many of each kind there were; what cannot be done here is in none of them."""

    def __init__(self, site: Site, proxy: HubProxy, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.damages = ChunkDamage(site.data)
        self._site = site
        self._proxy = proxy
        self._random = random.Random(seed)
        self._line_random = random.Random(seed + 1)

    async def harm_machines(self, until: float, kinds: Mapping[str, int], least: int) -> None:
        """Until that time, and at least so often. `kinds` tells how often each is chosen beside the others."""
        acts: dict[str, Callable[[], Awaitable[bool]]] = {
            "gateway killed": self._kill_gateway,
            "power cut": self._cut_power,
            "hub killed": self._kill_hub,
            "hub stopped": self._stop_hub,
            "both killed": self._kill_both,
            "long outage": lambda: self._proxy_outage(LONG_OUTAGE_SECONDS),
            "disk full": self._fill_disk,
            "chunk damaged": lambda: self._damage(self.damages.flip_chunk),
            "cursor damaged": lambda: self._damage(self.damages.flip_floor),
            "log torn": lambda: self._damage(self.damages.tear_log),
            "clock stepped": self._step_clock,
        }
        for done in itertools.count(1):
            await trio.sleep(self._random.uniform(*PAUSE_SECONDS))
            (kind,) = self._random.choices(list(kinds), list(kinds.values()))
            happened = await acts[kind]()
            self.counts[kind] += happened
            if trio.current_time() >= until and done >= least:
                return

    async def harm_line(self) -> None:
        """Until it is cancelled."""
        chance, proxy = self._line_random, self._proxy
        while True:
            await trio.sleep(chance.uniform(*LINE_PAUSE_SECONDS))
            (kind,) = chance.choices(list(LINE_FAULTS), list(LINE_FAULTS.values()))
            seconds = chance.uniform(0, LINE_SECONDS)
            match kind:
                case "cut":
                    happened = proxy.cut()
                case "reset":
                    happened = proxy.reset()
                case "half-close":
                    happened = await proxy.half_close()
                case "swallow":
                    happened = await proxy.swallow(seconds)
                case "delay":
                    happened = proxy.delay(seconds)
                case _:
                    happened = proxy.trickle(seconds)
            self.counts[kind] += happened

    async def kill_and_start(self) -> None:
        await self._kill_gateway()

    async def _kill_gateway(self) -> bool:
        await in_thread(self._site.gateway.kill)
        await trio.sleep(self._random.uniform(0, DOWN_SECONDS))
        await in_thread(self._site.start_gateway)
        return True

    async def _cut_power(self) -> bool:
        if not self._site.has_record:
            return False
        loss, seed = self._random.choice(list(Loss)), self._random.randrange(1 << 32)
        if self._random.random() < SHARE_OF_CUTS_IN_OUTAGES:
            # What waits for the hub is on the disk and nowhere else.
            await self._proxy.outage(self._random.uniform(*GATHERING_SECONDS))
        await in_thread(lambda: self._site.cut_power(loss, seed))
        await in_thread(self._site.start_gateway)
        return True

    async def _kill_hub(self) -> bool:
        await in_thread(self._site.hub.kill)
        await trio.sleep(self._random.uniform(0, DOWN_SECONDS))
        await in_thread(self._site.restart_hub)
        return True

    async def _stop_hub(self) -> bool:
        await in_thread(self._site.hub.stop)
        await trio.sleep(self._random.uniform(0, LONG_OUTAGE_SECONDS))
        await in_thread(self._site.restart_hub)
        return True

    async def _kill_both(self) -> bool:
        await in_thread(self._site.hub.kill)
        await in_thread(self._site.gateway.kill)
        await in_thread(self._site.start_gateway)
        await in_thread(self._site.restart_hub)
        return True

    async def _proxy_outage(self, seconds: float) -> bool:
        return await self._proxy.outage(seconds)

    async def _fill_disk(self) -> bool:
        if not self._site.has_small_disk:
            return False
        await in_thread(self._site.fill_disk)
        try:
            await trio.sleep(self._random.uniform(0, FULL_SECONDS))
            if self._random.random() < 0.3:
                await in_thread(self._site.gateway.kill)
        finally:
            self._site.empty_disk()
        if self._site.gateway.is_dead():
            await in_thread(self._site.start_gateway)
        return True

    async def _damage(self, act: Callable[[random.Random], bool]) -> bool:
        """Do damage while something waits for the hub."""
        await self._proxy.outage(self._random.uniform(*GATHERING_SECONDS))
        await in_thread(self._site.gateway.kill)
        happened = await in_thread(lambda: act(self._random))
        await in_thread(self._site.start_gateway)
        return bool(happened)

    async def _step_clock(self) -> bool:
        if not self._site.has_clock:
            return False
        self._site.set_clock(self._random.randint(-40 * DAY, 40 * DAY))
        return True


async def in_thread(act: Callable[[], object]) -> object:
    return await trio.to_thread.run_sync(act)
