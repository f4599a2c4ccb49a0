"""Wi-Fi that comes back: `ready=Wifi("shed", "open sesame").up` for the client, which awaits it before every attempt.

What the ESP32's driver says is not to be trusted. How the last attempt ended stays its status until there is an
address; after a disconnect it says that it is idle while it joins; after an outage it may be idle, or join for ever; it
may say that it is connected while nothing gets through.
"""

import asyncio
import network
from micropython import const
from time import ticks_diff, ticks_ms

_LOOK_MS = const(100)
_REFUSED_MS = const(4000)  # from here on a refusal is one of this attempt, most likely
_IDLE_MS = const(8000)
_RADIO_OFF_MS = const(500)
_DOUBT = const(3)
_ATTEMPTS = const(4)  # to reach a server; twice as many each time that turning the radio off has not helped
_MOST_ATTEMPTS = const(64)

# Numbers, where a port has no name for them, are those of the ESP32 (wifi_err_reason_t).
_REFUSALS = (
    ("STAT_NO_AP_FOUND", 201, "no network %s in reach (2.4 GHz only)"),
    ("STAT_WRONG_PASSWORD", 202, "the network %s refuses the password"),
    ("STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY", 210, "the network %s wants another kind of security"),
    ("STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD", 211, "the network %s wants another kind of security"),
    ("STAT_NO_AP_FOUND_IN_RSSI_THRESHOLD", 212, "the network %s is too far away"),
)


class Wifi:
    """`seconds`: how long an attempt may take. `station` is the network.WLAN, for its address and strength. `bounced`
    counts how often the radio was turned off and on because no server was reached.
    """

    def __init__(self, ssid, password="", seconds=20):
        self.ssid = ssid
        self.station = network.WLAN(network.STA_IF)
        self._password = password
        self._wait = 1000 * seconds
        self._doubt = 0  # that the driver gets there by itself
        self.bounced = 0
        self._through = 0  # connections to servers
        self._attempts = 0  # to have one, since one was there
        self._patience = _ATTEMPTS

    async def up(self):
        """Returns `through` once the station has an address, to be called with what becomes of the way to a server.
        OSError, with a sentence: it has none yet; the driver tries on.
        """
        station = self.station
        if station.isconnected():
            if self._through or self._attempts < self._patience:
                self._attempts += 1
                return self.through
            self._patience = min(2 * self._patience, _MOST_ATTEMPTS)
            self._doubt = _DOUBT
            self.bounced += 1
        self._attempts = 1
        if self._doubt >= _DOUBT:
            # Of some states only this leads out.
            self._doubt = 0
            station.active(False)
            await asyncio.sleep_ms(_RADIO_OFF_MS)
        station.active(True)
        self._ask()
        begun = asked = ticks_ms()
        while not station.isconnected():
            await asyncio.sleep_ms(_LOOK_MS)
            now = ticks_ms()
            status = station.status()
            if ticks_diff(now, begun) > self._wait:
                self._doubt = _DOUBT
                raise OSError("the network %s gives no address" % self.ssid)
            refusal = self._refusal(status)
            if refusal and ticks_diff(now, begun) > _REFUSED_MS:
                self._doubt += 1
                raise OSError(refusal)
            if status == network.STAT_IDLE and ticks_diff(now, asked) > _IDLE_MS:
                asked = now
                self._ask()
        self._doubt = 0
        return self.through

    def through(self, there):
        """A server was reached, or the connection to it was lost."""
        if there:
            self._through += 1
            self._patience = _ATTEMPTS
        else:
            self._through -= 1
            self._attempts = 0

    def status(self):
        """ "up", "down", or what is wrong."""
        if self.station.isconnected():
            return "up"
        return self._refusal(self.station.status()) or "down"

    def _ask(self):
        """Set the driver going. One that is on its way refuses, and is not disturbed."""
        try:
            self.station.connect(self.ssid, self._password)
        except OSError:
            pass

    def _refusal(self, status):
        for name, number, sentence in _REFUSALS:
            if status == getattr(network, name, number):
                return sentence % self.ssid
        return None
