"""Console requests: what the page shows, asked on `$LEAFGATE.console.…`, each answer bounded.

    nats request '$LEAFGATE.console.now' ''

Bodies and answers are JSON (README.md); an answer may be `{"error":{"code":…,"description":…}}`. Who may ask is named
in `console.users`; what rules of his own forbid, such as publishing on `$LEAFGATE.console.close`, is forbidden.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec

from gateway.accounts.account import Account
from gateway.accounts.identity import Identity
from gateway.accounts.permissions import EVERYTHING
from gateway.console.clients import Clients, ClientsQuery
from gateway.console.devices import devices
from gateway.console.now import Now
from gateway.console.settings import Foretell, nothing_foretold, settings
from gateway.console.subjects import Subjects, SubjectsQuery
from gateway.console.watching import Watching
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.monitoring.observer import snapshot
from gateway.monitoring.snapshot import SnapshotProvider
from gateway.monitoring.sources import Sources
from protocols import foreign_json
from protocols.close_reason import CloseReason
from protocols.message import Message, make_message

log = logging.getLogger("leafgate.console")

PREFIX = b"$LEAFGATE.console."
BAD_REQUEST, FORBIDDEN, UNKNOWN, BUSY, FAILED = 400, 403, 404, 429, 500
# Requests that are answered at a time.
MOST_WAITING = 32


class RequestError(Exception):
    """The text is for whoever asked."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which connection is to be closed."""

    cid: int


class Asker(msgspec.Struct, frozen=True):
    """Who asks, in which account."""

    port: Port
    account: Account
    identity: Identity | None


Answer = Callable[[bytes, Asker], Awaitable[object]]


class ConsoleReceiver(Receiver):
    """Takes the requests of one account's own clients."""

    __slots__ = ("_begin",)

    def __init__(self, begin: Callable[[Message, Port], None]) -> None:
        super().__init__(Port(None), PREFIX + b"*", b"")
        self.dear = SERVICE
        # Each gateway has a console of its own.
        self.local_only = True
        self._begin = begin

    def deliver(self, message: Message, source: Port) -> bool:
        if not message.reply or source.leaf:
            return False
        self._begin(message, source)
        return True


class ConsoleRequests:
    """Answers requests, beside what else the gateway does."""

    def __init__(self, sources: Sources, provider: SnapshotProvider, foretell: Foretell = nothing_foretold) -> None:
        self._runtime = sources.runtime
        self._foretell = foretell
        self._registry = sources.registry
        self._sources = sources
        self._now = Now(sources, provider)
        self._clients = Clients(sources.runtime, provider)
        self._subjects = Subjects(sources.runtime, Watching(sources.runtime))
        self._waiting = 0
        self._answers: dict[bytes, Answer] = {
            b"now": self._tell_now,
            b"clients": self._tell_clients,
            b"subjects": self._tell_subjects,
            b"devices": self._tell_devices,
            b"settings": self._tell_settings,
            b"close": self._close,
        }

    def offer_to(self, account: Account) -> None:
        """Answer an account's requests from now on."""
        account.router.subscribe(ConsoleReceiver(partial(self._ask, account)))

    def begin(self) -> None:
        """Count what goes wrong from now on, and remember who left."""
        self._registry.remember = snapshot
        self._now.begin()

    def _ask(self, account: Account, message: Message, source: Port) -> None:
        identity = getattr(source, "identity", None)
        asker = Asker(source, account, identity if isinstance(identity, Identity) else None)
        name, body, reply = message.subject[len(PREFIX) :], message.payload(), message.reply
        answer = self._answers.get(name)
        if not self._may_ask(asker):
            self._reply(asker, reply, refused(FORBIDDEN, "this user is none of console.users"))
        elif answer is None:
            self._reply(
                asker, reply, refused(UNKNOWN, "the console answers " + ", ".join(map(bytes.decode, self._answers)))
            )
        elif self._waiting >= MOST_WAITING:
            self._reply(asker, reply, refused(BUSY, "too many requests at a time"))
        else:
            self._waiting += 1
            self._runtime.spawn(partial(self._work, answer, body, asker, reply))

    async def _work(self, answer: Answer, body: bytes, asker: Asker, reply: bytes) -> None:
        told: object
        try:
            told = await answer(body, asker)
        except RequestError as error:
            told = refused(error.code, str(error))
        except msgspec.DecodeError as error:
            told = refused(BAD_REQUEST, str(error))
        except Exception:
            log.exception("event=console-request-failed")
            told = refused(FAILED, "the gateway failed; its log says why")
        finally:
            self._waiting -= 1
        self._reply(asker, reply, told)
        self._runtime.switch.flush()

    def _reply(self, asker: Asker, reply: bytes, told: object) -> None:
        asker.account.answer(make_message(reply, msgspec.json.encode(told)), asker.port, asker.account.port)

    def _may_ask(self, asker: Asker) -> bool:
        config = self._runtime.settings.config
        if asker.account.is_system or not config.authenticates:
            return True
        return asker.identity is not None and asker.identity.user in config.console.users

    def _may_close(self, asker: Asker) -> bool:
        return self._runtime.settings.config.authenticates and asker.port.allows(PREFIX + b"close")

    async def _tell_now(self, body: bytes, asker: Asker) -> object:
        may = {"close": self._may_close(asker)}
        user = asker.identity.user if asker.identity is not None else ""
        return await self._now.tell() | {"you": {"user": user, "account": asker.account.name, "may": may}}

    async def _tell_clients(self, body: bytes, asker: Asker) -> object:
        return await self._clients.tell(read(body, ClientsQuery))

    async def _tell_subjects(self, body: bytes, asker: Asker) -> object:
        rights = asker.identity.permissions if asker.identity is not None else EVERYTHING
        told = await self._subjects.tell(asker.account, rights, read(body, SubjectsQuery))
        if told is None:
            raise RequestError(BUSY, "as many others as may look at subjects already")
        return told

    async def _tell_devices(self, body: bytes, asker: Asker) -> object:
        return await devices(self._sources, asker.account)

    async def _tell_settings(self, body: bytes, asker: Asker) -> object:
        return await settings(self._runtime.settings.config, self._foretell)

    async def _close(self, body: bytes, asker: Asker) -> object:
        if not self._may_close(asker):
            raise RequestError(FORBIDDEN, "nobody closes connections of others where nobody says who he is")
        cid = read(body, Closing).cid
        connection = self._registry.open.get(cid)
        if connection is None or not connection.session.is_client:
            raise RequestError(UNKNOWN, f"there is no client {cid}; it may have left")
        user = asker.identity.user if asker.identity is not None else ""
        log.info("event=console-close cid=%d user=%r", cid, user)
        connection.close(CloseReason.KICKED, "as somebody at the console asked")
        return {"closed": cid}


Q = TypeVar("Q", bound=msgspec.Struct)


def read(body: bytes, kind: type[Q]) -> Q:
    """An empty body asks for nothing special. Raises msgspec.DecodeError."""
    return foreign_json.decode(body or b"{}", kind)


def refused(code: int, text: str) -> dict[str, object]:
    return {"error": {"code": code, "description": text}}
