"""StreamService: the streams of all accounts, in the databases that they share."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import trio

from gateway.accounts.account import Account
from gateway.runtime.runtime import Runtime
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.archive import Archive
from gateway.settings.streams import Streams as StreamSettings
from gateway.storage.joint_durability import JointDurability
from gateway.storage.streams.store import StreamStore
from gateway.streams.account_streams import AccountStreams
from gateway.streams.api import Api
from gateway.streams.duplicates import IdRoom
from gateway.streams.durability import StreamDurability
from gateway.streams.guarding import guarded
from gateway.streams.stores import Stores
from gateway.streams.stream_config import LEVEL

if TYPE_CHECKING:
    from gateway.streams.archiving import Archiving

# How often what is too old is looked for.
TIDY_SECONDS = 0.5
# How often it is looked whether there is an account that has something to be archived.
ACCOUNT_SECONDS = 1.0


class StreamService:
    """`file` is None where there is no data directory; then streams are in memory only."""

    def __init__(self, runtime: Runtime, settings: StreamSettings, file: StreamStore | None) -> None:
        self.domain = domain_of(settings, runtime.names.server_name)
        runtime.domain = self.domain
        self.memory = StreamStore(None, time.monotonic, max_bytes=settings.max_memory_bytes)
        self.accounts: dict[str, AccountStreams] = {}
        # Those that may have no streams, so far.
        self._without: dict[str, Account] = {}
        # The copies of streams in databases.
        self.archives: list[Archiving] = []
        self._runtime = runtime
        self.settings = settings
        self.api_level = int(LEVEL)
        # Where the database is; "" where there is none.
        self.directory = str(file.database.path.parent) if file is not None and file.database.path is not None else ""
        self._stores = Stores(file, self.memory)
        self._ids = IdRoom()
        runtime.budget.elsewhere["memory-streams"] = lambda: self.memory.commits.used_bytes
        runtime.budget.elsewhere["message-ids"] = lambda: self._ids.bytes

    def begin(self) -> None:
        """Let go what is too old, from now on."""
        self._tidy(trio.current_time())
        for settings in self.settings.archive:
            archive = partial(self._archive, settings)
            self._runtime.spawn(partial(guarded, partial(self._until_stopping, archive)))

    async def _until_stopping(self, task: Callable[[], Awaitable[None]]) -> None:
        """Nobody waits for what goes on for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_at_stop, nursery.cancel_scope)
            await task()

    async def _cancel_at_stop(self, scope: trio.CancelScope) -> None:
        await self._runtime.stopping.wait()
        scope.cancel()

    async def _archive(self, settings: Archive) -> None:
        """Copy a stream into a database, once its account has streams."""
        from gateway.streams.archiving import Archiving

        archiving = Archiving(settings, self._runtime.names)
        self.archives.append(archiving)
        while settings.account not in self.accounts:  # noqa: ASYNC110 -- accounts come now and then
            await trio.sleep(ACCOUNT_SECONDS)
        home = self.accounts[settings.account]
        home.archives[settings.stream] = archiving
        await archiving.run(home)

    async def open(self, account: Account) -> None:
        """Serve the streams of an account, those that are there first."""
        if account.name in self.accounts or account.is_system:
            return
        if not account.rules.streams.enabled:
            self._without[account.name] = account
            return
        streams = AccountStreams(self._runtime, account, self.settings, self.domain, self._stores, self._ids)
        self.accounts[account.name] = streams
        account.has_streams = True
        account.acknowledges = streams.acknowledges
        self._join(account, streams)
        await streams.restore()
        Api(streams).open()
        if streams.unopened:
            self._runtime.spawn(partial(guarded, partial(self._until_stopping, streams.opening.open_the_rest)))
        bucket = account.rules.retained_bucket
        if account.name == DEFAULT_ACCOUNT:
            bucket = bucket or self._runtime.settings.mqtt.retained_bucket
        if bucket:
            from gateway.streams.retained_bucket import RetainedBucket

            self._runtime.spawn(partial(guarded, partial(self._until_stopping, RetainedBucket(streams, bucket).run)))

    def _join(self, account: Account, streams: AccountStreams) -> None:
        """Have who acknowledges to others than NATS clients wait for streams, too."""
        durability = account.durability
        if isinstance(durability, JointDurability) and isinstance(durability.first, JointDurability):
            store, keeps, held = self._stores.file, streams.keeps, streams.held
            durability.first.companion = StreamDurability(store, keeps, held) if store is not None else None

    def open_soon(self, account: Account) -> None:
        """The same, while the gateway serves others."""
        self._runtime.spawn(partial(guarded, partial(self.open, account)))

    def _tidy(self, now: float) -> None:
        for store in (self._stores.file, self.memory):
            if store is not None:
                store.tidy()
        for streams in self.accounts.values():
            streams.heed_rules()
        for account in [one for one in self._without.values() if one.rules.streams.enabled]:
            del self._without[account.name]
            self.open_soon(account)
        self._runtime.deadlines.call_at(now + TIDY_SECONDS, self._tidy)


def domain_of(settings: StreamSettings, name: str) -> str:
    """A name of one token."""
    return settings.domain or "".join(one if one.isalnum() or one in "_-" else "_" for one in name)
