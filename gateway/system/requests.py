"""System requests: the system account's users ask what the gateway does, as they ask nats-server.

Users of other accounts hear of their own account alone. Answers are nats-server's; what takes long is made in turns.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from gateway.accounts.account import Account
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.monitoring.accountz import account_info, statistics
from gateway.monitoring.connz import connection_fields, find_page, read_query
from gateway.monitoring.healthz import healthz
from gateway.monitoring.parameters import ParameterError
from gateway.monitoring.report import Fields, Listing, write_all
from gateway.monitoring.reports import REPORTS
from gateway.monitoring.snapshot import SnapshotProvider
from gateway.monitoring.varz import statsz
from gateway.runtime.runtime import Runtime
from gateway.runtime.turns import OwnTurn, in_turns
from gateway.system.envelope import Envelope
from gateway.system.options import Options, OptionsError, read_options
from gateway.transport.registry import Registry
from protocols.close_reason import CloseReason
from protocols.message import Message, make_message

log = logging.getLogger("leafgate.system")

PING = b"$SYS.REQ.SERVER.PING"
OF_ALL = b"$SYS.REQ.SERVER.PING.*"
OF_ACCOUNTS = b"$SYS.REQ.ACCOUNT.*.*"
# What each account may ask of itself.
OWN_CONNECTIONS = (b"$SYS.REQ.ACCOUNT.PING.CONNZ", b"$SYS.REQ.SERVER.PING.CONNZ")
OWN_STATISTICS = b"$SYS.REQ.ACCOUNT.PING.STATZ"
BAD_REQUEST, TOO_LARGE, BUSY, FAILED = 400, 413, 429, 500
# Requests that are answered at a time.
MOST_WAITING = 64


class SystemReceiver(Receiver):
    """Takes requests on one subject. Whoever came over a link asks as everybody does: it asks all servers."""

    __slots__ = ("_begin",)

    def __init__(self, subject: bytes, begin: Callable[[Message, Port], None], local: bool) -> None:
        super().__init__(Port(None), subject, b"")
        self.dear = SERVICE
        self.local_only = local
        self._begin = begin

    def deliver(self, message: Message, source: Port) -> bool:
        if not message.reply or (self.local_only and source.leaf):
            return False
        self._begin(message, source)
        return True


class Silent(Exception):  # noqa: N818 - no fault: there is nothing to say
    """Nobody is answered."""


# What a request is answered with, by its name.
Answer = Callable[[Options], Awaitable[bytes]]


class SystemRequests:
    """Answers requests. `reload` reads the configuration anew, and returns what is wrong with it, if anything."""

    def __init__(
        self,
        runtime: Runtime,
        registry: Registry,
        provider: SnapshotProvider,
        envelope: Envelope,
        reload: Callable[[], Awaitable[str]],
    ) -> None:
        self._runtime = runtime
        self._registry = registry
        self._provider = provider
        self._envelope = envelope
        self._reload = reload
        self._waiting = 0
        self._of_server: dict[str, Answer] = {
            "IDZ": self._idz,
            "STATSZ": self._statsz,
            "CONNZ": partial(self._connz, ""),
            "HEALTHZ": self._healthz,
            # Go's queues and RAFT's groups: there are none.
            "IPQUEUESZ": self._nothing,
            "RAFTZ": self._nothing,
            **{name.upper(): partial(self._report, name, "") for name in REPORTS},
        }
        self._of_this_server: dict[str, Answer] = {
            "RELOAD": self._reload_configuration,
            "KICK": self._kick,
            "LDM": self._announce_lame_duck,
        }

    def offer_to(self, account: Account) -> None:
        """Answer an account's requests from now on."""
        subscribe = account.router.subscribe
        if account.is_system:
            mine = f"$SYS.REQ.SERVER.{self._runtime.names.server_id}.*".encode()
            for subject in (PING, OF_ALL, mine, OF_ACCOUNTS):
                subscribe(SystemReceiver(subject, partial(self._ask, account, self._answer_to), local=False))
            return
        connections = partial(self._ask, account, lambda subject: partial(self._connz, account.name))
        for subject in OWN_CONNECTIONS:
            subscribe(SystemReceiver(subject, connections, local=True))
        own = partial(self._ask, account, lambda subject: partial(self._statz, account.name))
        subscribe(SystemReceiver(OWN_STATISTICS, own, local=True))

    def _answer_to(self, subject: str) -> Answer | None:
        """What answers a request of the system account's; None for what nobody knows."""
        tokens = subject.split(".")
        if len(tokens) == 4:
            return self._statsz
        scope, whose, name = tokens[2], tokens[3], tokens[4]
        if scope == "SERVER":
            answer = self._of_server.get(name)
            return answer or (self._of_this_server.get(name) if whose != "PING" else None)
        if whose == "PING":
            return partial(self._statz, "") if name == "STATZ" else None
        of_account: dict[str, Answer] = {
            "CONNZ": partial(self._connz, whose),
            "LEAFZ": partial(self._report, "leafz", whose),
            "SUBSZ": partial(self._subsz_of, whose),
            "JSZ": partial(self._report, "jsz", whose),
            "INFO": partial(self._info, whose),
            "STATZ": partial(self._statz, whose),
            "CONNS": partial(self._conns, whose),
        }
        return of_account.get(name)

    def _ask(self, account: Account, answer_to: Callable[[str], Answer | None], message: Message, source: Port) -> None:
        """Answer a request, beside what else the gateway does."""
        answer = answer_to(message.subject.decode("utf-8", "replace"))
        if answer is None:
            return
        body, reply = message.payload(), message.reply

        async def work() -> None:
            try:
                told = await self._worked_out(answer, body)
                if told is not None:
                    account.answer(make_message(reply, told), source, account.port)
            except Exception:
                log.exception("event=system-request-failed")
            finally:
                self._waiting -= 1
            self._runtime.switch.flush()

        if self._waiting >= MOST_WAITING:
            busy = self._envelope.failure(BUSY, "too many requests at a time")
            account.answer(make_message(reply, busy), source, account.port)
            return
        self._waiting += 1
        self._runtime.spawn(work)

    async def _worked_out(self, answer: Answer, body: bytes) -> bytes | None:
        """The answer, be it that there is none for such a request."""
        try:
            options = read_options(body)
            if not options.select(self._runtime.names):
                return None
            told = await answer(options)
        except OptionsError as error:
            return self._envelope.failure(BAD_REQUEST, str(error))
        except ParameterError as error:
            return self._envelope.failure(FAILED, str(error))
        except Silent:
            return None
        most = self._runtime.settings.limits.max_payload_bytes
        if len(told) > most:
            text = f"the answer has {len(told)} bytes, more than max-payload-bytes ({most}): ask with offset and limit"
            return self._envelope.failure(TOO_LARGE, text)
        return told

    # Of the server.

    async def _idz(self, options: Options) -> bytes:
        server = self._envelope.server()
        return msgspec.json.encode({name: server[name] for name in ("name", "host", "id")})

    async def _statsz(self, options: Options) -> bytes:
        return self._envelope.answer("statsz", statsz(self._provider.server(await self._provider.census())))

    async def _healthz(self, options: Options) -> bytes:
        status, fields = healthz(self._provider, options.parameters())
        return self._envelope.answer("data", fields | {"status_code": status})

    async def _nothing(self, options: Options) -> bytes:
        return self._envelope.answer("data", {})

    async def _report(self, name: str, account: str, options: Options) -> bytes:
        return await self._enclosed(await REPORTS[name](self._provider, asked(options, account)))

    async def _subsz_of(self, account: str, options: Options) -> bytes:
        report = await REPORTS["subsz"](self._provider, asked(options, account) | {"subs": "1"})
        return await self._enclosed(report)

    async def _connz(self, account: str, options: Options) -> bytes:
        query = read_query(asked(options, account))
        page = await in_turns(find_page(self._provider, query), self._runtime.turns)
        shown = (connection_fields(one, query, page.now, list) for one in page.connections)
        return await self._enclosed(page.fields | {"connections": Listing(shown)})

    async def _reload_configuration(self, options: Options) -> bytes:
        fault = await self._reload()
        if fault:
            return self._envelope.failure(FAILED, fault)
        return msgspec.json.encode({"server": self._envelope.server()})

    async def _kick(self, options: Options) -> bytes:
        connection = self._registry.open.get(options.cid)
        if connection is None or not connection.session.is_client:
            return self._envelope.failure(FAILED, f"no such client or leafnode id: {options.cid}")
        connection.close(CloseReason.KICKED, "as the system account asked")
        return msgspec.json.encode({"server": self._envelope.server()})

    async def _announce_lame_duck(self, options: Options) -> bytes:
        connection = self._registry.open.get(options.cid)
        if connection is None:
            return self._envelope.failure(FAILED, f"no such client id: {options.cid}")
        connection.session.announce_lame_duck()
        return msgspec.json.encode({"server": self._envelope.server()})

    # Of an account.

    async def _info(self, account: str, options: Options) -> bytes:
        return self._envelope.answer("data", await account_info(self._provider, {"acc": account}))

    async def _statz(self, account: str, options: Options) -> bytes:
        """Of one account, or of those that are asked for; nothing where none of them is in use."""
        names = (account,) if account else options.accounts if isinstance(options.accounts, tuple) else ()
        totals = await self._provider.census()
        if names:
            found, turn = [], OwnTurn(self._runtime.turns)
            for name in names:
                one = self._provider.account(name, totals)
                if one is not None and (options.include_unused or one.in_use):
                    found.append(statistics(one))
                if turn.is_over():
                    await turn.next()
            if not found and not options.include_unused:
                raise Silent
            server = self._provider.identity()
            return self._envelope.answer(
                "data", {"server_id": server.server_id, "now": server.now, "account_statz": found}
            )
        return await self._enclosed(await REPORTS["accstatz"](self._provider, options.parameters()))

    async def _conns(self, account: str, options: Options) -> bytes:
        found = self._provider.account(account, await self._provider.census())
        if found is None or not found.connections:
            raise Silent
        return self._envelope.event("account_connections", statistics(found))

    async def _enclosed(self, report: Fields) -> bytes:
        """A report as the data of an answer."""
        head = msgspec.json.encode({"server": self._envelope.server()})
        data = await write_all(report, self._runtime.turns)
        return b'%b,"data":%b}' % (head[:-1], data)


def asked(options: Options, account: str) -> dict[str, str]:
    """The parameters of a request, about one account where that is given."""
    parameters = options.parameters()
    return parameters | {"acc": account, "auth": "1"} if account else parameters
