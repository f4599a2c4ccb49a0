"""Buffers: all that is stored and forwarded, begun, changed and ended as the configuration says."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeAlias

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.dataplane.verdicts import FilterSet
from gateway.errors import StorageError
from gateway.forwarding.buffer import STREAM_PREFIX, Buffer
from gateway.forwarding.companion import BufferDurability
from gateway.forwarding.forwarder import Forwarder
from gateway.forwarding.status import BufferStatus
from gateway.forwarding.thinning import Thinning
from gateway.runtime.runtime import Runtime
from gateway.settings.account_names import DEFAULT_ACCOUNT
from gateway.settings.schema import Config
from gateway.settings.store_and_forward import StoreAndForward, name_of, uplinks_of
from gateway.settings.streams import Streams
from gateway.storage.joint_durability import JointDurability
from gateway.storage.streams.store import StreamStore
from gateway.storage.streams.stream import Stream
from gateway.uplink.announcements import SUBJECT
from gateway.uplink.leafnode_uplink import LeafnodeUplink
from gateway.uplink.link_choice import LinkChoice
from protocols.message import make_message
from protocols.subjects import is_meant

log = logging.getLogger("leafgate.forwarding")

LOOK_SECONDS = 1.0
# How often an account is looked for that is not there yet.
ACCOUNT_SECONDS = 1.0
# A buffer's configuration, and the links that it is for.
Wanted: TypeAlias = tuple[StoreAndForward, tuple[LeafnodeUplink, ...]]
UNCONFIGURED = "it is not configured any more: what waits is kept, and goes on under the same name"


class Line:
    """A buffer that is served: what takes messages, and what brings them on, over whichever of its uplinks is up."""

    def __init__(
        self, runtime: Runtime, buffer: Buffer, uplinks: tuple[LeafnodeUplink, ...], changed: Callable[[], None]
    ) -> None:
        self.buffer = buffer
        self.uplinks = uplinks
        self.line = LinkChoice(runtime, [one.line for one in uplinks])
        self.forwarder = Forwarder(buffer, self.line, changed)
        self.thinning = Thinning(buffer)
        self.told = ""
        # The last message that had waited when it began to flow.
        self.backlog_end = 0
        self.life = trio.CancelScope()

    @property
    def uplink(self) -> LeafnodeUplink:
        """The one that it goes over now; else the first."""
        return next((one for one in self.uplinks if one.line.session is self.line.session), self.uplinks[0])


class Buffers:
    """`store` is that of the data directory, which is None without one. Of `accounts`, which may become others, one
    that is not there yet is found by `find_account`, or is not known. `links` are kept to those that there are.
    `streams` says how those of the gateway's own use the store, where there are any.
    """

    def __init__(
        self,
        runtime: Runtime,
        store: StreamStore | None,
        make_memory: Callable[[], StreamStore],
        accounts: Mapping[str, Account],
        find_account: Callable[[str], Awaitable[Account | None]],
        links: Sequence[LeafnodeUplink],
        streams: Streams | None,
    ) -> None:
        self.store = store
        self.memory: StreamStore | None = None
        self._runtime = runtime
        self._make_memory = make_memory
        self._accounts = accounts
        self._find_account = find_account
        self._links = links
        self._news = trio.Event()
        # The accounts that have buffers.
        self._joined: dict[str, Account] = {}
        self._lines: dict[str, Line] = {}
        self._wanted: dict[str, Wanted] = {}
        self._streams = streams

    def replace(self, config: Config, nursery: trio.Nursery) -> None:
        """Have the buffers that are configured, over the links that there are now. What waits in one stays as it is."""
        wanted: dict[str, Wanted] = {}
        for buffer in config.store_and_forward:
            uplinks = uplinks_of(buffer, config.uplinks)
            links = tuple(link for one in uplinks for link in self._links if link.config == one)
            if links:
                wanted[name_of(buffer, config.uplinks)] = (buffer, links)
        self._wanted = wanted
        for name, line in list(self._lines.items()):
            if name not in wanted or not self._goes_on(line, *wanted[name]):
                self._end(line)
        for name, (buffer, links) in wanted.items():
            if name in self._lines:
                self._change(self._lines[name], buffer)
                continue
            account = self._accounts.get(account_name(links))
            if account is None:
                nursery.start_soon(self._await_account, name, buffer, links)
            else:
                # At once: nobody can publish before.
                self._begin(name, buffer, links, account, nursery)
        self._cover()
        self._set_interval()

    async def run(self) -> None:
        """Look after all of them until the gateway stops."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_after)
            await self._runtime.stopping.wait()
            nursery.cancel_scope.cancel()
        for line in list(self._lines.values()):
            line.life.cancel()

    async def _look_after(self) -> None:
        told: set[str] = set()
        while True:
            for store in self._stores():
                store.tidy()
            for line in list(self._lines.values()):
                line.buffer.look()
                self._tell(line)
            for stream in self._unconfigured():
                if stream.name not in told:
                    told.add(stream.name)
                    name = stream.name.removeprefix(STREAM_PREFIX)
                    log.warning(
                        "buffer=%s event=unconfigured waiting=%d reason=%r", name, stream.messages, UNCONFIGURED
                    )
            with trio.move_on_after(LOOK_SECONDS):
                await self._news.wait()
            self._news = trio.Event()

    def statuses(self) -> Iterator[BufferStatus]:
        for line in self._lines.values():
            yield status_of(line)
        for stream in self._unconfigured():
            name = stream.name.removeprefix(STREAM_PREFIX)
            yield BufferStatus(
                name, stream.account, "", "unconfigured", stream.messages, stream.size, round(stream.oldest_age, 1),
                0, 0, 0, 0, 0, "", UNCONFIGURED,
            )  # fmt: skip

    # One buffer.

    def _goes_on(self, line: Line, config: StoreAndForward, links: tuple[LeafnodeUplink, ...]) -> bool:
        is_same = line.buffer.config.memory == config.memory and line.buffer.account.name == account_name(links)
        return is_same and line.uplinks == links

    def _change(self, line: Line, config: StoreAndForward) -> None:
        if line.buffer.config != config:
            line.buffer.change(config)
            line.forwarder.config_changed()

    async def _await_account(self, name: str, config: StoreAndForward, links: tuple[LeafnodeUplink, ...]) -> None:
        """Begin a buffer once its account is there: nobody can publish in it before."""
        account = await self._find_account(account_name(links))
        while account is None and self._is_wanted(name, config, links):
            await trio.sleep(ACCOUNT_SECONDS)
            account = await self._find_account(account_name(links))
        if account is not None and self._is_wanted(name, config, links) and self._runtime.nursery is not None:
            self._begin(name, config, links, account, self._runtime.nursery)
            self._cover()
            self._set_interval()

    def _is_wanted(self, name: str, config: StoreAndForward, links: tuple[LeafnodeUplink, ...]) -> bool:
        return self._wanted.get(name) == (config, links) and not self._runtime.stopping.is_set()

    def _begin(
        self,
        name: str,
        config: StoreAndForward,
        links: tuple[LeafnodeUplink, ...],
        account: Account,
        nursery: trio.Nursery,
    ) -> None:
        store = self._memory_store() if config.memory else self.store
        assert store is not None
        try:
            buffer = Buffer(self._runtime, account, store, name, config)
        except StorageError as error:
            log.error("buffer=%s event=failed reason=%r", name, str(error))
            return
        self._lines[name] = line = Line(self._runtime, buffer, links, self._have_news)
        waiting, names = buffer.stream.messages, ",".join(link.name for link in links)
        log.info("buffer=%s event=begun uplink=%s subjects=%r waiting=%d", name, names, config.subjects, waiting)
        nursery.start_soon(self._run_line, line)

    def _have_news(self) -> None:
        self._news.set()

    async def _run_line(self, line: Line) -> None:
        with line.life:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._thin, line)
                await line.forwarder.run()

    def _end(self, line: Line) -> None:
        line.life.cancel()
        line.line.close()
        line.buffer.close()
        del self._lines[line.buffer.name]
        waiting = line.buffer.stream.messages
        log.info("buffer=%s event=ended waiting=%d", line.buffer.name, waiting)

    async def _thin(self, line: Line) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS / 4)
            if line.thinning.is_due:
                try:
                    await line.thinning.run(line.forwarder.unsent)
                except StorageError as error:
                    log.warning("buffer=%s event=not-thinned reason=%r", line.buffer.name, str(error))

    # All of them.

    def _cover(self) -> None:
        """Tell links and accounts which subjects are stored."""
        for link in self._links:
            lines = [one for one in self._lines.values() if link in one.uplinks]
            filters = [subject.encode() for one in lines for subject in one.buffer.config.subjects]
            link.line.cover(partial(is_covered, FilterSet(filters), filters) if filters else None)
        by_account: dict[str, list[Buffer]] = {}
        accounts: dict[str, Account] = {}
        for line in self._lines.values():
            account = line.buffer.account
            accounts[account.name] = account
            by_account.setdefault(account.name, []).append(line.buffer)
        for account in list(self._joined.values()):
            if account.name not in by_account and isinstance(account.durability, JointDurability):
                account.durability.companion = None
        for name, account in accounts.items():
            assert isinstance(account.durability, JointDurability)
            account.durability.companion = BufferDurability(by_account[name])
            let_one_answer(by_account[name])
        self._joined = accounts

    def _set_interval(self) -> None:
        """Buffers share the commits of their store, and with the gateway's own streams where those are in it, too: the
        shortest interval holds.
        """
        for store in self._stores():
            intervals = [
                one.buffer.config.commit_interval_ms for one in self._lines.values() if one.buffer.store is store
            ]
            if store is self.store and self._streams is not None:
                intervals.append(self._streams.commit_interval_ms)
            store.commits.set_interval(min(intervals, default=0) / 1000)

    def _memory_store(self) -> StreamStore:
        if self.memory is None:
            self.memory = self._make_memory()
        most = sum(config.max_bytes for config, _ in self._wanted.values() if config.memory)
        self.memory.commits.max_bytes = 2 * most
        return self.memory

    def _stores(self) -> list[StreamStore]:
        return [one for one in (self.store, self.memory) if one is not None]

    def _unconfigured(self) -> list[Stream]:
        """What earlier configurations have left; what is empty goes."""
        if self.store is None:
            return []
        served = [one.buffer.stream for one in self._lines.values()]
        streams = [one for one in self.store.streams() if one.name.startswith(STREAM_PREFIX) and one not in served]
        wanted = [STREAM_PREFIX + name for name in self._wanted]
        for stream in streams:
            if not stream.messages and stream.name not in wanted:
                self.store.remove(stream)
        return [one for one in streams if one.messages and one.name not in wanted]

    def _tell(self, line: Line) -> None:
        """Tell of a buffer's state on its uplink's subject, once a change."""
        status = status_of(line)
        state = status.state
        if line.buffer.drops.recent():
            state = "dropping"
        elif state == "flowing":
            # What only passes through is no backlog.
            stream = line.buffer.stream
            if line.told not in ("draining", "drained"):
                line.backlog_end = stream.last
            is_behind = stream.first <= line.backlog_end or status.oldest_seconds > LOOK_SECONDS
            is_draining = status.messages > 0 and is_behind and line.told != "drained"
            state = "draining" if is_draining else "drained"
        if state == line.told:
            return
        line.told = state
        about = {
            "state": state,
            "buffer": status.name,
            "name": line.uplink.name,
            "gateway": self._runtime.names.server_name,
            "account": status.account,
            "messages": status.messages,
            "bytes": status.bytes,
            "error": status.fault,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        subject = SUBJECT + line.uplink.name.encode()
        line.buffer.account.publish(make_message(subject, msgspec.json.encode(about)))
        self._runtime.switch.flush()


def status_of(line: Line) -> BufferStatus:
    buffer, forwarder = line.buffer, line.forwarder
    stream = buffer.stream
    state = "waiting" if not line.line.is_up else "held" if forwarder.obstacle else "flowing"
    faults = [forwarder.obstacle, buffer.drops.recent(), buffer.store.commits.obstacle() or ""]
    return BufferStatus(
        name=buffer.name,
        account=buffer.account.name,
        uplink=line.uplink.name,
        state=state,
        messages=stream.messages,
        bytes=stream.size,
        oldest_seconds=round(stream.oldest_age, 1),
        under_way=len(forwarder.window),
        forwarded=forwarder.forwarded,
        repeated=forwarder.repeated,
        resent=forwarder.resent,
        plain=forwarder.plain,
        last_error=forwarder.last_error,
        fault="; ".join(filter(None, faults)),
        dropped=dict(buffer.drops.counts),
    )


def let_one_answer(buffers: Sequence[Buffer]) -> None:
    """Of several buffers of an account that store the same subject the first answers who publishes there."""
    filters: list[bytes] = []
    for buffer in buffers:
        buffer.others_answer = partial(is_covered, FilterSet(filters), tuple(filters))
        filters += [subject.encode() for subject in buffer.config.subjects]


def is_covered(found: FilterSet, filters: Sequence[bytes], subject: bytes) -> bool:
    """Whether a buffer has what is published on a subject."""
    if not found.matches(subject):
        return False
    return any(is_meant(one, subject) for one in filters if FilterSet([one]).matches(subject))


def account_name(links: tuple[LeafnodeUplink, ...]) -> str:
    return links[0].config.account or DEFAULT_ACCOUNT
