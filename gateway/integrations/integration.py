"""Integration: the life of one: it serves, fails, waits, and serves again, until it is ended."""

import logging
import random
from collections.abc import Sequence

import trio

from gateway.accounts.account import Account
from gateway.errors import GatewayError
from gateway.integrations.inlet import Inlet
from gateway.integrations.outlet import Outlet
from gateway.integrations.plain_outlet import PlainOutlet
from gateway.integrations.site import IntegrationError, Site
from gateway.integrations.status import IntegrationStatus
from gateway.integrations.stream_outlet import StreamOutlet
from gateway.runtime.drops import Drops
from gateway.runtime.moments import moment
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.integration import Integration as IntegrationKeys
from gateway.settings.security import SubjectRule
from gateway.uplink.link_history import LinkHistory

log = logging.getLogger("leafgate.integration")

FIRST_PAUSE = 0.25
# How long one has to let go what it holds; and how often it is seen whether nothing waits any more.
FINISH_SECONDS = 2.0
LOOK_SECONDS = 0.05
# How often an account is looked for that is not there yet.
ACCOUNT_SECONDS = 1.0
# What held this long was good: the next attempt comes soon again.
GOOD_SECONDS = 5.0


class Integration:
    """A subclass says what it does: `begin` makes what lasts over outages (`make_outlet`, `make_inlet`), `serve` speaks
    to the other side until something is wrong, and calls `goes` once that answers.
    """

    def __init__(self, site: Site, config: IntegrationKeys) -> None:
        self.site = site
        self.config = config
        self.label = config.label
        self.history = LinkHistory(str)
        self.drops = Drops(site.runtime.deadlines, log, f"integration={self.label}")
        self.outlet: Outlet | None = None
        self.inlet: Inlet | None = None
        # Set once it is over.
        self.ended = trio.Event()
        self._told = ""
        self._good_since: float | None = None
        self._life = trio.CancelScope()

    # What a subclass decides.

    def begin(self, account: Account) -> None:
        """The account is there: have an outlet or an inlet, or both."""
        raise NotImplementedError

    async def serve(self) -> None:
        """Connect and work until something is wrong. Raises IntegrationError; `Outlet.rewind` is called behind it."""
        raise NotImplementedError

    async def finish(self) -> None:
        """It is over: let go what `begin` made beside outlet and inlet. Takes no longer than a few seconds."""

    # What a subclass calls.

    def make_outlet(self, account: Account, subjects: Sequence[str] | None = None) -> Outlet:
        """From the stream that is configured, else from the subjects: those of the configuration, or others."""
        config = self.config
        subjects = config.subjects if subjects is None else subjects
        if config.stream:
            name, streams_of, stream = account.name, self.site.streams_of, config.stream
            self.outlet = StreamOutlet(lambda: streams_of(name), stream, self.label, subjects, self.drops)
        else:
            self.outlet = PlainOutlet(account, subjects, config.max_pending_bytes, self.drops)
        return self.outlet

    def make_inlet(self, account: Account, publish: SubjectRule | None) -> Inlet:
        self.inlet = Inlet(self.site.runtime, account, publish, self.drops)
        return self.inlet

    def goes(self) -> None:
        """The other side answers."""
        if not self.history.is_up:
            self.history.up("")
            self._good_since = trio.current_time()
            log.info("integration=%s event=up", self.label)
            self._told = ""

    def falters(self, reason: str) -> None:
        """The other side is away or refuses, and `serve` goes on by itself; `goes` says that this is over. Of an outage
        the first reason is logged.
        """
        self._fell(reason, again=not self._told)

    def _fell(self, reason: str, again: bool) -> None:
        self.history.failed(reason)
        self.history.down(reason)
        if again and reason != self._told:
            self._told = reason
            log.warning("integration=%s event=down reason=%r waiting=%d", self.label, reason, self.waiting[0])

    # Life.

    async def run(self, before: "Integration | None" = None) -> None:
        """Until the gateway stops, or `end`; it begins once one that was there `before` is over."""
        try:
            with self._life:
                if before is not None:
                    await before.ended.wait()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._end_with_gateway)
                    await self._live()
        finally:
            with trio.move_on_after(FINISH_SECONDS) as scope:
                scope.shield = True
                await self.finish()
            if self.outlet is not None:
                self.outlet.close()
            self.drops.close()
            self.ended.set()

    def end(self) -> None:
        self._life.cancel()

    async def _end_with_gateway(self) -> None:
        """When the gateway stops, what waits in memory still goes out, as long as the other side takes it."""
        await self.site.runtime.stopping.wait()
        if not self.config.stream:
            while self.history.is_up and self.waiting[0]:  # noqa: ASYNC110 -- the gateway has a deadline for that
                await trio.sleep(LOOK_SECONDS)
        self.end()

    async def _live(self) -> None:
        config = self.config
        name = config.account or DEFAULT_ACCOUNT
        while (account := await self.site.find_account(name)) is None:
            self.history.failed(f"there is no account {name}")
            await trio.sleep(ACCOUNT_SECONDS)
        self.begin(account)
        pause = FIRST_PAUSE
        while True:
            self._good_since = None
            lasting = await self._serve()
            since = self._good_since
            if since is not None and trio.current_time() - since > GOOD_SECONDS:
                pause = FIRST_PAUSE
            wait = config.retry_max_seconds if lasting else pause
            await trio.sleep(wait * random.uniform(0.5, 1.0))
            pause = min(2 * pause, config.retry_max_seconds)

    async def _serve(self) -> bool:
        """Once; whether time alone will not heal what went wrong."""
        lasting = False
        try:
            await self.serve()
            reason = "it ended"
        except IntegrationError as error:
            reason, lasting = str(error), error.lasting
        except (GatewayError, OSError) as error:
            reason = str(error) or type(error).__name__
        except Exception:  # A defect of one integration is no reason for anything else to end.
            log.exception("integration=%s event=defect", self.label)
            reason, lasting = "there is a defect: the log has it", True
        self._fell(reason, again=True)
        if self.outlet is not None:
            self.outlet.rewind()
        return lasting

    # What is told.

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages the other side does not have yet, and about how many bytes."""
        return self.outlet.waiting if self.outlet is not None else (0, 0)

    def faults(self) -> Sequence[str]:
        """What is wrong, the worst first, with empty texts for what is not."""
        outlet, inlet = self.outlet, self.inlet
        return (
            outlet.fault if outlet is not None else "",
            inlet.fault if inlet is not None else "",
            self.history.fault(),
            self.drops.recent(),
        )

    def status(self) -> IntegrationStatus:
        history, outlet, inlet = self.history, self.outlet, self.inlet
        messages, size = self.waiting
        return IntegrationStatus(
            kind=self.config.kind,
            name=self.config.name,
            account=self.config.account or DEFAULT_ACCOUNT,
            up=history.is_up,
            since=moment(history.since),
            last_error=history.last_error,
            fault=next(filter(None, self.faults()), ""),
            outages=history.flaps,
            waiting_msgs=messages,
            waiting_bytes=size,
            sent_msgs=outlet.done_messages if outlet is not None else 0,
            received_msgs=inlet.received if inlet is not None else 0,
            dropped_msgs=dict(self.drops.counts),
        )
