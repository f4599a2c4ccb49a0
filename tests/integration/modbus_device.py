"""A Modbus device for the tests, of pymodbus: `python modbus_device.py tcp PORT` or `rtu PATH`.

Holding registers 0 to 9 hold ten times their address, 10 and 11 the float 21.5; coils 0 to 7 are off; input registers
begin with 7. What is written stays. Unit 1 answers, nothing behind address 99 is there.
"""

import asyncio
import sys

from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer


def context() -> ModbusServerContext:
    # A block counts from 1, addresses on the wire from 0.
    holding = [10 * at for at in range(10)] + [0x41AC, 0] + [0] * 88
    device = ModbusDeviceContext(
        hr=ModbusSequentialDataBlock(1, holding),
        ir=ModbusSequentialDataBlock(1, [7] * 100),
        co=ModbusSequentialDataBlock(1, [False] * 100),
        di=ModbusSequentialDataBlock(1, [True] * 100),
    )
    return ModbusServerContext(devices={1: device}, single=False)


async def main(kind: str, place: str) -> None:
    if kind == "tcp":
        await StartAsyncTcpServer(context(), address=("127.0.0.1", int(place)))
    else:
        await StartAsyncSerialServer(context(), port=place, baudrate=9600, parity="N")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
