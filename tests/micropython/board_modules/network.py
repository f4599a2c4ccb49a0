# A Wi-Fi driver in whose reach is one network.
STA_IF = 0
STAT_IDLE = 1000
STAT_GOT_IP = 1010
STAT_WRONG_PASSWORD = 202


class WLAN:
    def __init__(self, interface):
        assert interface == STA_IF
        self._status = STAT_IDLE
        self._active = False

    def active(self, on):
        self._active = on

    def connect(self, ssid, password):
        assert self._active
        self._status = STAT_GOT_IP if (ssid, password) == ("shed", "open sesame") else STAT_WRONG_PASSWORD
        print("network", ssid)

    def isconnected(self):
        return self._status == STAT_GOT_IP

    def status(self):
        return self._status
