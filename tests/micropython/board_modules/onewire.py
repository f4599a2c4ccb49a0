# A 1-Wire bus; the sensor on it is in ds18x20.


class OneWireError(Exception):
    pass


class OneWire:
    def __init__(self, pin):
        self.pin = pin
