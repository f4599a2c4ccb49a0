"""Brings the board onto the subject space, tells who it is, takes updates, and runs the application beside all that.

Subjects, with the prefix and the name of /device.json: `P.NAME.presence` and `P.NAME.log` are published,
`P.query`, `P.NAME.manifest` and `P.NAME.update` are answered; `P.NAME.update.status` and `P.NAME.update.chunk` belong to an update.
"""

import asyncio
import json
import sys

import boot_slots

CONFIGURATION = "/device.json"
WIFI_SECONDS = 20
REFUSAL_SECONDS = 4
RETRY_SECONDS = 2
LONGEST_RETRY_SECONDS = 60
CHUNK_SECONDS = 5
CHUNK_ATTEMPTS = 5


def say(text):
    """A line for whoever watches the console; `leafgate device flash` reads these."""
    print("leafgate: " + text)


class Device:
    """What the application gets: `config`, `publish`, `log`, the event `connected`, and `client` for the rest."""

    def __init__(self, config):
        self.config = config
        self.name = config["name"]
        self.subject = config["prefix"] + "." + self.name
        self.client = None
        self.connected = asyncio.Event()
        self.good = asyncio.Event()
        self._updating = False
        self.slot, self.on_trial = boot_slots.running()

    async def publish(self, subject, payload):
        """Publish under the subject of this device: `publish("temperature", b"21.5")`."""
        if self.client is not None:
            await self.client.publish(self.subject + "." + subject, payload)

    async def log(self, text):
        print(text)
        await self.publish("log", text.encode())

    def describe(self):
        from update.install import read_manifest

        manifest = read_manifest("/" + self.slot) or {}
        told = {"state": "online", "name": self.name, "release": manifest.get("release", 0), "slot": self.slot, "trial": self.on_trial}
        told["system"] = "%s %s" % (sys.implementation.name, ".".join(str(part) for part in sys.implementation.version[:3]))
        return json.dumps(told).encode()

    async def tell_presence(self):
        await self.publish("presence", self.describe())

    async def on_query(self, message):
        if message.reply:
            await self.client.publish(message.reply, self.describe())

    async def on_manifest(self, message):
        if message.reply:
            from update.install import MANIFEST

            with open("/%s/%s" % (self.slot, MANIFEST), "rb") as file:
                await self.client.publish(message.reply, file.read())

    async def on_update(self, message):
        """Answer the offer of a release, then take it in the background: chunks come over the same connection."""
        if self._updating or self.on_trial:
            answer = {"error": "busy with another update"}
        else:
            self._updating = True
            answer = {"slot": self.slot}
            asyncio.create_task(self._update(bytes(message.data)))
        await self.client.publish(message.reply, json.dumps(answer).encode())

    async def _update(self, signed):
        from update import install

        current, target = self.slot, boot_slots.other(self.slot)
        try:
            manifest = await install.check_signed(signed, bytes.fromhex(self.config["release_key"]), self.name)
            have = (install.read_manifest("/" + current) or {}).get("release", 0)
            if manifest["release"] <= have:
                raise install.Refused("release %d is not newer than %d" % (manifest["release"], have))
            fetched = await install.install(signed, "/" + current, "/" + target, self._fetch)
            boot_slots.write_choice(current, target)
        except Exception as error:
            self._updating = False
            if not isinstance(error, install.Refused):
                sys.print_exception(error)
            await self._tell_update({"state": "failed", "detail": str(error) or type(error).__name__})
            return
        await self._tell_update({"state": "installed", "fetched": fetched})
        await asyncio.sleep_ms(200)  # let the last message go out
        boot_slots.restart()

    async def _tell_update(self, state):
        await self.publish("update.status", json.dumps(state).encode())

    async def _fetch(self, sha256, offset, size):
        wanted = ("%s %d %d" % (sha256, offset, size)).encode()
        for attempt in range(CHUNK_ATTEMPTS):
            try:
                answer = await self.client.request(self.subject + ".update.chunk", wanted, timeout=CHUNK_SECONDS)
                return answer.data
            except (OSError, asyncio.TimeoutError):
                await asyncio.sleep(attempt)
        return b""

    async def prove(self):
        """Connected, and still there after a while: good. A slot on trial becomes the one to go back to."""
        await asyncio.sleep(self.config.get("settle_seconds", 10))
        boot_slots.mark_good()
        self.slot, self.on_trial = boot_slots.running()
        self.good.set()
        await self.tell_presence()


async def join_wifi(config):
    """Return once the board has an address. Raises OSError with a sentence when it gets none in time."""
    wifi = config.get("wifi")
    if not wifi:
        return
    import network

    station = network.WLAN(network.STA_IF)
    station.active(True)
    if station.isconnected():
        return
    say("joining the network %s" % wifi["ssid"])
    # A driver that is still trying from before refuses a new attempt.
    station.disconnect()
    station.connect(wifi["ssid"], wifi.get("password", ""))
    refusals = {
        getattr(network, "STAT_WRONG_PASSWORD", None): "the network %s refuses the password",
        getattr(network, "STAT_NO_AP_FOUND", None): "no network %s is in reach (2.4 GHz only)",
    }
    for tenths in range(WIFI_SECONDS * 10):
        if station.isconnected():
            say("address %s" % station.ifconfig()[0])
            return
        # Early in an attempt the driver still tells of the one before.
        if tenths > REFUSAL_SECONDS * 10 and station.status() in refusals:
            raise OSError(refusals[station.status()] % wifi["ssid"])
        await asyncio.sleep_ms(100)
    raise OSError("the network %s gives no address" % wifi["ssid"])


async def open_client(config):
    from wire import connect

    keys = ("user", "password", "nkey", "nkey_expanded")
    return await connect(config["servers"], name=config["name"], **{key: config[key] for key in keys if key in config})


async def stay_connected(device):
    """Connect, and connect again, for ever."""
    pause = RETRY_SECONDS
    proving = None
    while True:
        try:
            await join_wifi(device.config)
            device.client = client = await open_client(device.config)
            await client.subscribe(device.config["prefix"] + ".query", cb=device.on_query)
            await client.subscribe(device.subject + ".update", cb=device.on_update)
            await client.subscribe(device.subject + ".manifest", cb=device.on_manifest)
            await device.tell_presence()
            say("connected as %s" % device.subject)
            device.connected.set()
            pause = RETRY_SECONDS
            if proving is None:
                proving = asyncio.create_task(device.prove())
            await client.closed()
            say("connection lost")
        except (OSError, asyncio.TimeoutError) as error:
            say("cannot connect to %s: %s" % (device.config["servers"][0], error))
        device.client = None
        device.connected.clear()
        if proving is not None and not device.good.is_set():
            proving.cancel()
            proving = None
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_RETRY_SECONDS)


async def run():
    with open(CONFIGURATION) as file:
        device = Device(json.load(file))
    connection = asyncio.create_task(stay_connected(device))
    try:
        import application

        await application.run(device)
        await connection  # an application that only sets things up
    finally:
        connection.cancel()


def main():
    try:
        asyncio.run(run())
    finally:
        asyncio.new_event_loop()
