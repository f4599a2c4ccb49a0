"""Plays a driver to Wifi, in a time of its own: PLAYS ATTEMPTS, both JSON.

PLAYS: for each `connect` that the driver takes, what it says then, as [milliseconds since, status] one after the other.
ATTEMPTS: milliseconds to wait before each `up`, or a list of them and what becomes of the server then: true, it is
reached; false, it is lost. Prints what Wifi did and how each attempt ended.
"""

import asyncio
import json
import sys

CODES = {"IDLE": 1000, "CONNECTING": 1001, "GOT_IP": 1010, "NO_AP_FOUND": 201, "WRONG_PASSWORD": 202, "FAR": 212}


class Time:
    """In place of the module."""

    now = 0

    @staticmethod
    def ticks_ms():
        return Time.now

    @staticmethod
    def ticks_diff(a, b):
        return a - b


class Driver:
    """In place of network.WLAN: each connect that is taken plays the next list of states."""

    def __init__(self, plays):
        self._plays = plays
        self._begun = 0
        self._play = [[0, "IDLE"]]
        self._active = False

    def state(self):
        current = "IDLE"
        for when, name in self._play:
            if Time.now - self._begun >= when:
                current = name
        return current

    def active(self, on=None):
        if on is None:
            return self._active
        if on != self._active:
            print(Time.now, "radio", "on" if on else "off")
            if not on:
                self._play = [[0, "IDLE"]]
        self._active = on

    def isconnected(self):
        return self.state() == "GOT_IP"

    def status(self):
        return CODES[self.state()]

    def connect(self, ssid, password):
        assert self._active
        if self.state() == "CONNECTING":
            raise OSError("Wifi Internal State Error")
        print(Time.now, "connect", ssid, password)
        if self._plays:
            self._play = self._plays.pop(0)
            self._begun = Time.now


async def sleep_ms(duration):
    Time.now += duration


def replace_modules(driver):
    class Network:
        STA_IF = 0
        STAT_IDLE = CODES["IDLE"]
        STAT_CONNECTING = CODES["CONNECTING"]
        STAT_NO_AP_FOUND = CODES["NO_AP_FOUND"]
        STAT_WRONG_PASSWORD = CODES["WRONG_PASSWORD"]

        @staticmethod
        def WLAN(interface):
            return driver

    sys.modules["network"] = Network
    sys.modules["time"] = Time
    asyncio.sleep_ms = sleep_ms


async def main(plays, attempts):
    replace_modules(Driver(plays))
    from leafgate.wifi import Wifi

    wifi = Wifi("shed", "open sesame")
    for attempt in attempts:
        pause, *outcome = attempt if isinstance(attempt, list) else [attempt]
        Time.now += pause
        print(Time.now, wifi.status())
        try:
            through = await wifi.up()
            print(Time.now, "up")
            for there in outcome:
                through(there)
        except OSError as error:
            print(Time.now, error)


asyncio.run(main(json.loads(sys.argv[1]), json.loads(sys.argv[2])))
