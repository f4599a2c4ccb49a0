"""Device: one Modbus device as threads speak with it, by pymodbus. A call blocks, and no longer than its timeouts."""

import logging
from typing import TYPE_CHECKING, Any

from gateway.integrations.site import IntegrationError
from gateway.settings.modbus import Modbus, Register

if TYPE_CHECKING:
    from gateway.integrations.modbus.registers import Block

# How often a request is sent again that is not answered.
RETRIES = 1
EXCEPTIONS = {
    1: "it does not have the function",
    2: "it does not have the address",
    3: "it does not take the value",
    4: "it failed",
    5: "it takes long",
    6: "it is busy",
    10: "the gateway before it has no way",
    11: "it does not answer the gateway before it",
}


class RefusedError(Exception):
    """The device has answered, by an exception (MODBUS Application Protocol 7)."""


class Device:
    """Raises IntegrationError for a device that is away, and RefusedError for what it does not do."""

    def __init__(self, config: Modbus) -> None:
        self._config = config
        self._client: Any = None

    def open(self) -> None:
        from pymodbus.client import ModbusSerialClient, ModbusTcpClient

        config, address = self._config, self._config.host_and_port
        # It tells in a log of its own what becomes an error of ours.
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        timeout = config.answer_timeout_seconds
        if address is not None:
            self._client = ModbusTcpClient(address[0], port=address[1], timeout=timeout, retries=RETRIES)
        else:
            self._client = ModbusSerialClient(
                config.line,
                baudrate=config.baud,
                parity=config.parity,
                stopbits=config.stop_bits,
                timeout=timeout,
                retries=RETRIES,
            )
        try:
            connected = self._client.connect()
        except Exception as error:  # noqa: BLE001 -- of the library, of pyserial, of sockets
            raise IntegrationError(f"{config.url}: {error}") from None
        if not connected:
            raise IntegrationError(f"{config.url} cannot be reached")

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def read(self, block: "Block") -> list[int] | list[bool]:
        function = {
            "holding": "read_holding_registers",
            "input": "read_input_registers",
            "coil": "read_coils",
            "discrete": "read_discrete_inputs",
        }[block.table]
        answer = self._ask(function, block.start, count=block.count)
        found: list[int] | list[bool] = answer.bits if block.table in ("coil", "discrete") else answer.registers
        return found

    def write(self, register: Register, words: list[int]) -> None:
        if register.table == "coil":
            self._ask("write_coil", register.address, bool(words[0]))
        elif len(words) == 1:
            self._ask("write_register", register.address, words[0])
        else:
            self._ask("write_registers", register.address, words)

    def _ask(self, function: str, *arguments: Any, **more: Any) -> Any:
        from pymodbus.exceptions import ModbusException

        try:
            answer = getattr(self._client, function)(*arguments, device_id=self._config.unit, **more)
        except (ModbusException, OSError) as error:
            raise IntegrationError(f"{self._config.url}: no answer: {error}") from None
        if answer.isError():
            code = getattr(answer, "exception_code", 0)
            if not code:
                raise IntegrationError(f"{self._config.url}: no answer of unit {self._config.unit}")
            raise RefusedError(EXCEPTIONS.get(code, f"it says {code}"))
        return answer
