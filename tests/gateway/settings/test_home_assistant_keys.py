"""What is said of devices that Home Assistant would not take."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings.schema import load_config

DEVICE = '[[home-assistant.devices]]\nid = "shed"\n'
ENTITY = '[[home-assistant.devices.entities]]\nid = "t"\n'
SENSOR = ENTITY + 'component = "sensor"\nstate = "a.b"\n'
AT = "home-assistant.devices[0].entities[0]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (DEVICE, "home-assistant.devices[0].entities: missing"),
        (DEVICE + "entities = []\n", "home-assistant.devices[0].entities: a device has 1 to 64"),
        (DEVICE + ENTITY + 'component = "sensors"\n', f"{AT}.component: 'sensors' is none of sensor, binary_sensor"),
        (DEVICE + ENTITY + 'component = "sensor"\n', f"{AT}.component: a sensor needs state"),
        (DEVICE + SENSOR + 'value = "a + 1"\n', f"{AT}.value: 'a + 1' is no field"),
        (DEVICE + SENSOR + 'value = "a["\n', f"{AT}.value: 'a[': between brackets"),
        (DEVICE + SENSOR + "more = { payload_press = 1 }\n", f"{AT}.component: a sensor has no payload_press"),
        (DEVICE + SENSOR + 'device-class = "Temperature"\n', f"{AT}.device-class: 'Temperature' is no class"),
        (
            DEVICE + ENTITY + 'component = "switch"\ncommand = "a"\nunit = "m"\n',
            f"{AT}.unit: a switch has none",
        ),
        (
            DEVICE + ENTITY + 'component = "sensor"\nstate = "a.*"\n',
            "devices[0].entities[0].state: 'a.*' is no subject",
        ),
        (DEVICE + ENTITY + 'component = "sensor"\nstate = ".x"\n', "'.x' begins with a dot, and the device has no"),
        (DEVICE + SENSOR + SENSOR, "home-assistant.devices[0].entities[1].id: entities[0] is 't' too"),
        (DEVICE + SENSOR + DEVICE + SENSOR, "home-assistant.devices[1].id: devices[0] is 'shed' too"),
        ('[home-assistant]\nbirth-topic = "a/#"\n', "home-assistant.birth-topic: 'a/#' is no topic"),
        ('[home-assistant]\naccount = "x"\n', "home-assistant.account: there is no account 'x'"),
    ],
)
def test_fault_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "leafgate.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert said in str(caught.value)
