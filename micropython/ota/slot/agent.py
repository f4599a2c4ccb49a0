"""Brings the board onto the subject space, tells who it is, takes updates, and runs the application beside all that.

Subjects, with the prefix and the name of /device.json: `P.NAME.presence` and `P.NAME.log` are published, `P.query`,
`P.NAME.manifest` and `P.NAME.update` are answered; `P.NAME.update.status` and `P.NAME.update.chunk` are of an update.
The gateway tells of us on the same presence subject, and it alone tells that we are gone.
"""

import asyncio
import json
import sys
import time

import boot_slots
from leafgate import Client

CONFIGURATION = "/device.json"
LARGEST_MANIFEST = 16384
CHUNK_SECONDS = 5
CHUNK_ATTEMPTS = 5
GUARD_SECONDS = 1  # the watchdog of an ESP8266 bites after few
RESTART_SECONDS = 3600
# A board that was flashed before `feed` was there keeps the boot_slots that it has.
feed = getattr(boot_slots, "feed", time.ticks_ms)


def say(text):
    """A line for whoever watches the console; `leafgate device flash` reads these."""
    print("leafgate: " + text)


class Device:
    """What the application gets: `config`, `publish`, `log`, the event `connected`, and `client` for the rest."""

    def __init__(self, config):
        self.config = config
        self.name = config["name"]
        self.subject = config["prefix"] + "." + self.name
        self.slot, self.on_trial = boot_slots.running()
        self._updating = False
        self._proving = None
        self._wifi = None
        if "wifi" in config:
            from leafgate.wifi import Wifi

            self._wifi = Wifi(config["wifi"]["ssid"], config["wifi"].get("password", ""))
        self.client = Client(
            config["servers"],
            name=self.name,
            user=config.get("user"),
            password=config.get("password"),
            nkey=config.get("nkey_expanded"),
            presence=self.subject + ".presence",
            ready=self._join,
            on_status=self._on_status,
            largest=LARGEST_MANIFEST,
        )
        self.connected = self.client.connected

    async def listen(self):
        await self.client.subscribe(self.config["prefix"] + ".query", cb=self.on_query)
        await self.client.subscribe(self.subject + ".update", cb=self.on_update)
        await self.client.subscribe(self.subject + ".manifest", cb=self.on_manifest)

    async def guard(self):
        """Feed the watchdog while the event loop turns; restart the board when it has been without a server for too
        long, whatever may be the reason that nothing else has mended.
        """
        most = self.config.get("restart_seconds", RESTART_SECONDS)
        alone = 0
        last = time.ticks_ms()
        while True:
            feed()
            now = time.ticks_ms()
            alone = 0 if self.connected.is_set() else alone + time.ticks_diff(now, last)
            last = now
            if most and alone > 1000 * most:
                say("no server for %s s, restarting" % most)
                boot_slots.restart()
            await asyncio.sleep(GUARD_SECONDS)

    async def publish(self, subject, data):
        """Publish under the subject of this device: `publish("temperature", b"21.5")`. Waits for the connection; what
        was on its way when one was lost goes out again.
        """
        while True:
            try:
                return await self.client.publish(self.subject + "." + subject, data)
            except OSError:
                await asyncio.sleep_ms(100)

    async def log(self, text):
        """Print, and publish where there is a connection."""
        print(text)
        if self.connected.is_set():
            await self.publish("log", text)

    def describe(self):
        from update.install import read_manifest

        manifest = read_manifest("/" + self.slot) or {}
        version = ".".join([str(part) for part in sys.implementation.version[:3]])
        return json.dumps(
            {
                "state": "online",
                "name": self.name,
                "release": manifest.get("release", 0),
                "slot": self.slot,
                "trial": self.on_trial,
                "system": "%s %s" % (sys.implementation.name, version),
            }
        ).encode()

    async def tell_presence(self):
        await self.publish("presence", self.describe())

    async def on_query(self, message):
        if message.reply:
            await message.respond(self.describe())

    async def on_manifest(self, message):
        if message.reply:
            from update.install import MANIFEST

            with open("/%s/%s" % (self.slot, MANIFEST), "rb") as file:
                await message.respond(file.read())

    async def on_update(self, message):
        """Answer the offer of a release, then take it in the background: chunks come over the same connection."""
        if self._updating or self.on_trial:
            answer = {"error": "busy with another update"}
        else:
            self._updating = True
            answer = {"slot": self.slot}
            asyncio.create_task(self._update(bytes(message.data)))
        await message.respond(json.dumps(answer))

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
        await self.publish("update.status", json.dumps(state))

    async def _fetch(self, sha256, offset, size):
        wanted = ("%s %d %d" % (sha256, offset, size)).encode()
        for attempt in range(CHUNK_ATTEMPTS):
            try:
                answer = await self.client.request(self.subject + ".update.chunk", wanted, timeout=CHUNK_SECONDS)
                return answer.data
            except (OSError, asyncio.TimeoutError):
                await asyncio.sleep(attempt)
        return b""

    async def _prove(self):
        """Connected, and still there after a while: good. A slot on trial becomes the one to go back to."""
        await self.tell_presence()
        await asyncio.sleep(self.config.get("settle_seconds", 10))
        if self.on_trial:
            boot_slots.mark_good()
            self.slot, self.on_trial = boot_slots.running()
            await self.tell_presence()

    async def _join(self):
        """Return once the board has an address: the client then tells the radio what became of it."""
        wifi = self._wifi
        if not wifi:
            return None
        bounced = wifi.bounced
        there = wifi.station.isconnected()
        if not there:
            say("joining the network %s" % wifi.ssid)
        through = await wifi.up()
        if wifi.bounced != bounced:
            say("turned the radio off and on, because no server was reached")
        elif not there:
            say("address %s" % wifi.station.ifconfig()[0])
        return through

    def _on_status(self, state, detail):
        if state == "connected":
            say("connected as %s" % self.subject)
            self._proving = asyncio.create_task(self._prove())
        elif state == "lost":
            say("connection lost: %s" % detail)
            self._proving.cancel()
        elif state == "error":
            if self.connected.is_set():
                say("error: %r" % detail)
            elif self._wifi and not self._wifi.station.isconnected():
                say("cannot connect: %s" % detail)
            else:
                say("cannot connect to %s: %s" % (self.config["servers"][0], detail))


async def run():
    with open(CONFIGURATION) as file:
        device = Device(json.load(file))
    feed()  # an application that hangs while it is imported is guarded, too
    asyncio.create_task(device.guard())
    await device.listen()
    import application

    await application.run(device)
    while True:  # an application that only sets things up
        await asyncio.sleep(3600)


def main():
    try:
        asyncio.run(run())
    finally:
        asyncio.new_event_loop()
