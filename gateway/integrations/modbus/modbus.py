"""ModbusIntegration: one device; its registers are polled in their time, and written when somebody asks for it."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias, TypeVar

import msgspec
import trio

from gateway.accounts.account import Account
from gateway.dataplane.port import Port
from gateway.integrations.integration import Integration
from gateway.integrations.modbus.device import Device, RefusedError
from gateway.integrations.modbus.registers import Block, RegisterError, Value, blocks_of, value_of, words_of
from gateway.integrations.requests import AWAY, INVALID, REFUSED, Request, Requests
from gateway.integrations.site import IntegrationError, Site
from gateway.services.presence import Presence
from gateway.settings.modbus import Modbus, Register
from protocols import foreign_json
from protocols.message import RETAIN_HEADER, Message, make_message

# A payload of more is no number.
LONGEST_NUMBER = 64
T = TypeVar("T")
# To write words to a register.
Write: TypeAlias = tuple[Register, list[int]]


class ModbusIntegration(Integration):
    config: Modbus

    def __init__(self, site: Site, config: Modbus) -> None:
        super().__init__(site, config)
        self._blocks = blocks_of(config.registers, config.poll_seconds, config.max_gap)
        self._device = Device(config)
        self._known: dict[str, Value] = {}
        self._requests: Requests[Write] | None = None
        self._presence: Presence | None = None
        # One call of the device's at a time, in a thread that takes none from others.
        self._limiter = trio.CapacityLimiter(1)

    def begin(self, account: Account) -> None:
        self.make_inlet(account, None)
        self._presence = Presence(account, f"{self.config.subject}.presence".encode())
        self._requests = Requests(self, account, "a register was not written", "the device is away")
        for register in self.config.registers:
            if register.writable:
                self._requests.listen(f"{self.config.subject}.{register.name}.set", partial(self._asked, register))

    async def finish(self) -> None:
        if self._requests is not None:
            self._requests.close()
        self._tell(False)

    async def serve(self) -> None:
        requests = self._requests
        assert requests is not None
        self._known.clear()
        try:
            await self._call(self._device.open)
            await self._poll(requests)
        finally:
            requests.turn_away()
            self._tell(False)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2 * self.config.answer_timeout_seconds):
                await self._call(self._device.close)

    async def _poll(self, requests: Requests[Write]) -> None:
        due = dict.fromkeys(self._blocks, trio.current_time())
        while True:
            while (request := requests.next()) is not None:
                await self._write(requests, request)
            block = min(due, key=lambda one: due[one])
            with trio.move_on_at(due[block]):
                await requests.wait()
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

    async def _write(self, requests: Requests[Write], request: Request[Write]) -> None:
        try:
            await self._call(partial(self._device.write, *request.what))
        except RefusedError as refusal:
            requests.answer(request, REFUSED, f"the device refuses: {refusal}")
        except IntegrationError as error:
            requests.answer(request, AWAY, str(error))
            raise
        else:
            requests.answer(request)
        self._answered()

    def _asked(self, register: Register, message: Message, asker: Port) -> None:
        """Somebody wants a register written."""
        requests = self._requests
        assert requests is not None
        request: Request[Write] = Request(message, asker, (register, []))
        payload = message.payload()
        try:
            value = foreign_json.decode(payload) if len(payload) <= LONGEST_NUMBER else None
            request.what = register, words_of(register, value)
        except (msgspec.DecodeError, OverflowError):
            requests.answer(request, INVALID, "the payload is a number, true or false")
        except RegisterError as fault:
            requests.answer(request, INVALID, str(fault))
        else:
            requests.add(request)

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
