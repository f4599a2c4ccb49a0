"""What is said of registers that cannot be."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings.schema import load_config

DEVICE = '[[modbus]]\nname = "pump"\nurl = "tcp://127.0.0.1"\nsubject = "plant.pump"\n'
REGISTER = '[[modbus.registers]]\nname = "speed"\naddress = 3\n'
AT = "modbus[0].registers[0]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DEVICE + "registers = []\n", "modbus[0].registers: a device has 1 to 1000"),
        (DEVICE.replace("tcp:", "udp:") + REGISTER, "modbus[0].url: 'udp://127.0.0.1' is none"),
        (DEVICE.replace("tcp://127.0.0.1", "rtu://ttyS0") + REGISTER, "write tcp://host:502 or rtu:///dev/ttyUSB0"),
        (DEVICE.replace("plant.pump", "$SYS.x") + REGISTER, "modbus[0].subject: '$SYS.x' is no subject"),
        (DEVICE + 'subjects = ["a"]\n' + REGISTER, "modbus[0].subjects: a device takes no messages"),
        (DEVICE + REGISTER + REGISTER, "modbus[0].registers[1].name: registers[0] is 'speed' too"),
        (DEVICE + REGISTER + 'table = "input"\nwritable = true\n', f"{AT}.writable: registers of the table input"),
        (DEVICE + REGISTER + 'table = "coil"\nscale = 2\n', f"{AT}.type: a coil is true or false"),
        (DEVICE + REGISTER + 'type = "text"\n', f"{AT}.words: it is how many registers a text has"),
        (DEVICE + REGISTER + "words = 2\n", f"{AT}.words: it is how many registers a text has"),
        (DEVICE + REGISTER + "scale = 0\n", f"{AT}.scale: by it a number is multiplied"),
        (DEVICE + REGISTER.replace("3", "65535") + 'type = "u32"\n', f"{AT}.address: its 2 registers would end"),
        (DEVICE + REGISTER.replace("speed", "a b"), f"{AT}.name: 'a b' is no end of a subject"),
    ],
)
def test_fault_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "leafgate.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert said in str(caught.value)
