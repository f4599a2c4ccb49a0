# One DS18B20, which is pulled off at first, then has a bad contact, then measures.
from onewire import OneWireError

SENSOR = bytearray(b"\x28-sensor")


class DS18X20:
    def __init__(self, bus):
        self._scans = 0
        self._converted = False

    def scan(self):
        self._scans += 1
        return [SENSOR] if self._scans > 1 else []

    def convert_temp(self):
        if self._scans == 1:
            raise OneWireError
        self._converted = True

    def read_temp(self, sensor):
        assert sensor == SENSOR and self._converted
        self._converted = False
        if self._scans == 2:
            raise Exception("CRC error")
        return 19.5 + self._scans
