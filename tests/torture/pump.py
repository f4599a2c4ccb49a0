"""A Modbus device that is killed: `python pump.py PORT FILE`. What is written to its register of 32 bits is in the
file, a number a line, before it is answered; begun again it has the last one.
"""

import asyncio
import sys
from pathlib import Path

from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.register_message import WriteMultipleRegistersRequest
from pymodbus.server import StartAsyncTcpServer


async def main(port: int, file: Path, last: int) -> None:
    # A block counts from 1, addresses on the wire from 0.
    device = ModbusDeviceContext(hr=ModbusSequentialDataBlock(1, [*divmod(last, 1 << 16)]))
    context = ModbusServerContext(devices={1: device}, single=False)
    with file.open("a") as written:

        def note(sending: bool, pdu: ModbusPDU) -> ModbusPDU:
            if not sending and isinstance(pdu, WriteMultipleRegistersRequest):
                high, low = pdu.registers
                written.write(f"{(high << 16) + low}\n")
                written.flush()
            return pdu

        await StartAsyncTcpServer(context, address=("127.0.0.1", port), trace_pdu=note)


if __name__ == "__main__":
    place = Path(sys.argv[2])
    place.touch()
    asyncio.run(main(int(sys.argv[1]), place, int((place.read_text().split() or ["0"])[-1])))
