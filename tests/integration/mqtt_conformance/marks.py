"""Parameters that many conformance tests share."""

import pytest

from tests.integration.mqtt_conformance.raw_client import MQTT_3_1, MQTT_3_1_1, MQTT_5_0

VERSION_NAMES = {MQTT_3_1: "3.1", MQTT_3_1_1: "3.1.1", MQTT_5_0: "5.0"}

versions = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0], ids=VERSION_NAMES.get)
all_versions = pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1, MQTT_5_0], ids=VERSION_NAMES.get)
qualities = pytest.mark.parametrize("qos", [0, 1, 2])
