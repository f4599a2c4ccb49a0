"""Claims requests: who manages an operator's accounts (`nsc push` and the like) sends, lists and removes their JWTs.

Answered in the system's account, in nats-server's words, where the JWTs are in a directory. It is the operator's
signature that counts, whoever sends.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec
import trio

from gateway.accounts import nkeys
from gateway.accounts.account import Account
from gateway.accounts.jwt import AccountClaims, DeletionClaims, JwtError, decode
from gateway.accounts.resolver import ResolverError
from gateway.accounts.trust import TrustedAccounts
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.runtime.runtime import Runtime
from gateway.services.server_facts import server_facts
from protocols.message import Message, make_message

log = logging.getLogger("leafgate.accounts")

UPDATE = b"$SYS.REQ.CLAIMS.UPDATE"
# The account stands in the subject, too; the second one is of older tools.
UPDATES_OF_ONE = (b"$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", b"$SYS.ACCOUNT.*.CLAIMS.UPDATE")
LIST = b"$SYS.REQ.CLAIMS.LIST"
DELETE = b"$SYS.REQ.CLAIMS.DELETE"
PACK = b"$SYS.REQ.CLAIMS.PACK"
LOOKUP = b"$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP"
OK, FAILED = 200, 500
# Requests that are worked on at a time; the directory is looked at in one thread.
MOST_WAITING = 64

Answer = TypeVar("Answer")
Handle = Callable[[Message, Port], Awaitable[bytes | None]]


class ClaimsReceiver(Receiver):
    """Takes requests on one subject."""

    __slots__ = ("_handle", "_requests")

    def __init__(self, subject: bytes, requests: "ClaimsRequests", handle: Handle) -> None:
        super().__init__(Port(None), subject, b"")
        self.dear = SERVICE
        # What the hub is asked, the hub answers.
        self.local_only = True
        self._requests = requests
        self._handle = handle

    def deliver(self, message: Message, source: Port) -> bool:
        if source.leaf:
            return False
        self._requests.begin(message, source, self._handle)
        return True


class ClaimsRequests:
    """Answers the requests of one account, the system's."""

    def __init__(self, runtime: Runtime, account: Account, trust: TrustedAccounts) -> None:
        self._runtime = runtime
        self._account = account
        self._trust = trust
        self._resolver = trust.resolver
        self._limiter = trio.CapacityLimiter(1)
        self._waiting = 0

    def offer(self) -> None:
        """Answer from now on."""
        handles: list[tuple[bytes, Handle]] = [
            (UPDATE, self._update),
            (LIST, self._list),
            (DELETE, self._delete),
            (PACK, self._pack),
            (LOOKUP, self._lookup),
            *((subject, self._update_one) for subject in UPDATES_OF_ONE),
        ]
        for subject, handle in handles:
            self._account.router.subscribe(ClaimsReceiver(subject, self, handle))

    def begin(self, message: Message, asker: Port, handle: Handle) -> None:
        """Work on a request, beside what else the gateway does."""
        if self._waiting >= MOST_WAITING:
            self._answer(message.reply, asker, self._failure("", "too many requests at a time"))
            return
        self._waiting += 1

        async def work() -> None:
            try:
                self._answer(message.reply, asker, await handle(message, asker))
            except Exception:
                log.exception("event=claims-request-failed")
            finally:
                self._waiting -= 1
            self._runtime.switch.flush()

        self._runtime.spawn(work)

    async def _update(self, message: Message, asker: Port) -> bytes:
        return await self._save(message, "")

    async def _update_one(self, message: Message, asker: Port) -> bytes:
        tokens = message.subject.split(b".")
        return await self._save(message, tokens[-3].decode("utf-8", "replace"))

    async def _save(self, message: Message, public: str) -> bytes:
        """Keep an account's token; `public`: of which account it must be."""
        token = message.payload().decode("ascii", "replace").strip()
        operator = self._trust.operator
        try:
            claims = await self._in_thread(partial(decode, token, AccountClaims))
        except JwtError as error:
            return self._failure("n/a", f"jwt update resulted in error - {error}")
        account = claims.subject
        try:
            if public and public != account:
                raise JwtError("subject does not match jwt content")
            if claims.issuer == operator.public and operator.strict:
                raise JwtError("operator requires issuer to be a signing key")
            await self._in_thread(partial(operator.read_account, token, self._trust.now()))
            await self._in_thread(partial(self._resolver.save, account, token))
        except (JwtError, ResolverError) as error:
            return self._failure(public or account, f"jwt update resulted in error - {error}")
        await self._trust.refresh()
        log.info("event=jwt-updated account=%s", account)
        return self._success(account, "jwt updated")

    async def _list(self, message: Message, asker: Port) -> bytes | None:
        try:
            accounts = await self._in_thread(self._resolver.accounts)
        except ResolverError as error:
            return self._failure("", f"list request error - {error}")
        return self._envelope({"data": accounts})

    async def _lookup(self, message: Message, asker: Port) -> bytes | None:
        """The token itself, empty where there is none."""
        public = message.subject.split(b".")[3].decode("utf-8", "replace")
        try:
            token = await self._in_thread(partial(self._resolver.read, public))
        except ResolverError:
            token = None
        return (token or "").encode("ascii", "replace")

    async def _pack(self, message: Message, asker: Port) -> bytes | None:
        """All tokens, one a message with the account before it; an empty message ends them."""
        try:
            for public in await self._in_thread(self._resolver.accounts):
                token = await self._in_thread(partial(self._resolver.read, public))
                if token:
                    self._answer(message.reply, asker, f"{public}|{token}".encode("ascii", "replace"))
                    self._runtime.switch.flush()
        except ResolverError as error:
            log.warning("event=pack-failed reason=%r", str(error))
            return None
        return b""

    async def _delete(self, message: Message, asker: Port) -> bytes:
        """Forget accounts, as an operator wishes that signs for itself."""
        operator = self._trust.operator
        subject = ""
        try:
            token = message.payload().decode("ascii", "replace").strip()
            claims = await self._in_thread(partial(decode, token, DeletionClaims))
            subject = claims.subject
            claims.check_time(self._trust.now())
            if subject != claims.issuer:
                raise JwtError("not self signed")
            if claims.issuer not in operator.trusted:
                raise JwtError("not trusted")
            accounts = claims.deletion.accounts
            if not accounts or not all(nkeys.is_public(one, nkeys.ACCOUNT) for one in accounts):
                raise JwtError("malformed request")
            if operator.system_account in accounts:
                raise JwtError("not allowed to delete system account")
        except JwtError as error:
            return self._failure("", f"delete accounts request by {subject} failed - {error}")
        failures: list[str] = []
        for public in accounts:
            try:
                await self._in_thread(partial(self._resolver.delete, public))
                log.info("event=jwt-deleted account=%s", public)
            except ResolverError as error:
                failures.append(str(error))
        await self._trust.refresh()
        done = len(accounts) - len(failures)
        if failures:
            text = f"deleted {done} accounts, failed for {len(failures)} - " + "\n".join(failures)
            return self._failure("", text)
        return self._success("", f"deleted {done} accounts")

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        return await trio.to_thread.run_sync(work, limiter=self._limiter)

    def _success(self, account: str, text: str) -> bytes:
        about = {"account": account} if account else {}
        return self._envelope({"data": about | {"code": OK, "message": text}})

    def _failure(self, account: str, text: str) -> bytes:
        said = "event=claims-request-refused account=%s reason=%r"
        self._runtime.repeats.log(log, logging.WARNING, "claims-request", said, account or "-", text)
        about = {"account": account} if account else {}
        return self._envelope({"error": about | {"code": FAILED, "description": text}})

    def _envelope(self, body: dict[str, object]) -> bytes:
        return msgspec.json.encode({"server": server_facts(self._runtime.names), **body})

    def _answer(self, reply: bytes, asker: Port, told: bytes | None) -> None:
        if reply and told is not None:
            self._account.answer(make_message(reply, told), asker, self._account.port)
