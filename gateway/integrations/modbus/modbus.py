"""ModbusIntegration: one device; its registers are polled in their time, and written when somebody asks for it."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.dataplane.port import SERVICE, Port, Receiver
from gateway.integrations.integration import Integration
from gateway.integrations.modbus.device import Device, RefusedError
from gateway.integrations.modbus.registers import Block, RegisterError, Value, blocks_of, value_of, words_of
from gateway.integrations.site import IntegrationError, Site
from gateway.services.presence import Presence
from gateway.settings.modbus import Modbus, Register
from protocols import foreign_json
from protocols.message import RETAIN_HEADER, Message, make_message

# Requests to write that may wait.
MOST_WAITING = 64
# A payload of more is no number.
LONGEST_NUMBER = 64
INVALID, REFUSED, BUSY, AWAY = 400, 422, 429, 503
T = TypeVar("T")
DONE = b'{"ok":true}'


class WriteRequests(Receiver):
    """Takes the requests to write one register."""

    __slots__ = ("_integration", "_register")

    def __init__(self, integration: "ModbusIntegration", register: Register) -> None:
        subject = f"{integration.config.subject}.{register.name}.set"
        super().__init__(Port(None), subject.encode(), b"")
        self.dear = SERVICE
        self._integration = integration
        self._register = register

    def deliver(self, message: Message, source: Port) -> bool:
        self._integration.asked(self._register, message, source, self.port)
        return True


class Request:
    """To write a value; whoever asks hears what has become of it, where he says where."""

    __slots__ = ("asker", "port", "register", "reply", "words")

    def __init__(self, register: Register, words: list[int], reply: bytes, asker: Port, port: Port) -> None:
        self.register = register
        self.words = words
        self.reply = reply
        self.asker = asker
        self.port = port


class ModbusIntegration(Integration):
    config: Modbus

    def __init__(self, site: Site, config: Modbus) -> None:
        super().__init__(site, config)
        self._blocks = blocks_of(config.registers, config.poll_seconds, config.max_gap)
        self._device = Device(config)
        self._waiting: deque[Request] = deque()
        self._asked = trio.Event()
        self._known: dict[str, Value] = {}
        self._receivers: list[WriteRequests] = []
        self._account: Account | None = None
        self._presence: Presence | None = None
        # One call of the device's at a time, in a thread that takes none from others.
        self._limiter = trio.CapacityLimiter(1)

    def begin(self, account: Account) -> None:
        self._account = account
        self.make_inlet(account, None)
        self._presence = Presence(account, f"{self.config.subject}.presence".encode())
        self._receivers = [WriteRequests(self, one) for one in self.config.registers if one.writable]
        for receiver in self._receivers:
            account.router.subscribe(receiver)

    async def finish(self) -> None:
        for receiver in self._receivers:
            assert self._account is not None
            self._account.router.unsubscribe(receiver)
        self._turn_away()
        self._tell(False)

    async def serve(self) -> None:
        self._known.clear()
        try:
            await self._call(self._device.open)
            await self._poll()
        finally:
            self._turn_away()
            self._tell(False)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2 * self.config.answer_timeout_seconds):
                await self._call(self._device.close)

    async def _poll(self) -> None:
        due = dict.fromkeys(self._blocks, trio.current_time())
        while True:
            while self._waiting:
                await self._write(self._waiting.popleft())
            block = min(due, key=lambda one: due[one])
            with trio.move_on_at(due[block]):
                await self._asked.wait()
            self._asked = trio.Event()
            now = trio.current_time()
            if due[block] <= now:
                await self._read(block)
                # What could not be read in its time is not made up for.
                due[block] = max(due[block] + block.seconds, trio.current_time())

    async def _read(self, block: Block) -> None:
        try:
            raw = await self._call(partial(self._device.read, block))
        except RefusedError as refusal:
            self._answered()
            self.drops.count(f"the device refuses to be read: {refusal}", example=str(block))
            return
        self._answered()
        config, messages = self.config, []
        for register in block.registers:
            try:
                value = value_of(register, raw, block.start)
            except RegisterError as fault:
                self.drops.count(str(fault), example=register.name)
                continue
            if config.publish == "changes" and self._known.get(register.name) == value:
                continue
            self._known[register.name] = value
            subject = f"{config.subject}.{register.name}".encode()
            header = RETAIN_HEADER if config.retain else b""
            messages.append(make_message(subject, text_of(value), header=header))
        if messages:
            assert self.inlet is not None
            await self.inlet.publish(messages)

    async def _write(self, request: Request) -> None:
        try:
            await self._call(partial(self._device.write, request.register, request.words))
        except RefusedError as refusal:
            self._answer(request, REFUSED, f"the device refuses: {refusal}")
        except IntegrationError as error:
            self._answer(request, AWAY, str(error))
            raise
        else:
            self._answer(request)
        self._answered()

    def asked(self, register: Register, message: Message, asker: Port, port: Port) -> None:
        """Somebody wants a register written."""
        request = Request(register, [], message.reply, asker, port)
        payload = message.payload()
        try:
            value = foreign_json.decode(payload) if len(payload) <= LONGEST_NUMBER else None
            request.words = words_of(register, value)
        except (msgspec.DecodeError, OverflowError):
            self._answer(request, INVALID, "the payload is a number, true or false")
        except RegisterError as fault:
            self._answer(request, INVALID, str(fault))
        else:
            if not self.history.is_up:
                self._answer(request, AWAY, f"the device is away: {self.history.last_error}")
            elif len(self._waiting) >= MOST_WAITING:
                self._answer(request, BUSY, "too many requests wait")
            else:
                self._waiting.append(request)
                self._asked.set()

    def _answer(self, request: Request, code: int = 0, description: str = "") -> None:
        if code:
            self.drops.count("a register was not written", example=f"{request.register.name}: {description}")
        if request.reply and self._account is not None:
            told = {"error": {"code": code, "description": description}}
            payload = msgspec.json.encode(told) if code else DONE
            self._account.answer(make_message(request.reply, payload), request.asker, request.port)
            self.site.runtime.switch.flush()

    def _turn_away(self) -> None:
        while self._waiting:
            self._answer(self._waiting.popleft(), AWAY, "the device is away")

    def _answered(self) -> None:
        self.goes()
        self._tell(True)

    def _tell(self, present: bool) -> None:
        if self._presence is not None:
            self._presence.tell(present, {"name": self.config.name})
            self.site.runtime.switch.flush()

    async def _call(self, function: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(function, limiter=self._limiter)


def text_of(value: Value) -> bytes:
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
