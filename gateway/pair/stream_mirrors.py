"""Stream mirrors: the streams of the other gateway of the pair that are to be here too, as mirrors by the same name."""

import logging

import msgspec
import trio

from gateway.runtime.identity import new_token
from gateway.settings.pair import Pair
from gateway.streams.account_streams import AccountStreams
from gateway.streams.hub_overlaps import Answer
from protocols import foreign_json
from protocols.message import make_message

log = logging.getLogger("leafgate.pair")

ANSWER_SECONDS = 10.0
# What a mirror has as its origin has it: it is to become a stream of its own when the origin is gone for good.
SAME = (
    "max_msgs",
    "max_bytes",
    "max_age",
    "max_msgs_per_subject",
    "max_msg_size",
    "storage",
    "allow_direct",
    "allow_msg_ttl",
    "allow_rollup_hdrs",
    "metadata",
)
UNMIRRORED = "a stream of this retention has no mirrors: what is acknowledged goes"


class Told(msgspec.Struct):
    """What is asked of the configuration of a stream that the other gateway has."""

    name: str
    retention: str = "limits"


class Answered(msgspec.Struct):
    """What is asked of an answer of the API: whether it refuses, and why."""

    error: dict[str, object] | None = None


class StreamMirrors:
    """Of one account; `streams` is asked for when they are wanted, for they may come later."""

    def __init__(self, config: Pair, streams: AccountStreams) -> None:
        self._config = config
        self._streams = streams
        # What was said of a stream, once.
        self._said: dict[str, str] = {}

    def offered(self) -> list[bytes]:
        """The configurations of what is a stream of its own here, and is to be mirrored there."""
        return [
            msgspec.json.encode(config.told())
            for name, config in sorted(self._streams.configs.items())
            if self._config.mirrors(name) and config.mirror is None
        ]

    async def take(self, configs: list[bytes], domain: str) -> None:
        """Mirror these, of another domain, as far as they are not here."""
        for encoded in configs:
            try:
                config = foreign_json.decode(encoded, dict[str, object])
                told = msgspec.convert(config, Told)
            except (msgspec.DecodeError, msgspec.ValidationError):
                continue
            if not self._config.mirrors(told.name):
                continue
            ours = self._streams.configs.get(told.name)
            if ours is not None:
                if ours.mirror is None:
                    self._say(told.name, "both gateways of the pair have a stream of this name: nothing is mirrored")
            elif told.retention != "limits":
                self._say(told.name, UNMIRRORED)
            else:
                await self._make(told.name, config, domain)

    async def _make(self, name: str, config: dict[str, object], domain: str) -> None:
        wanted: dict[str, object] = {key: config[key] for key in SAME if key in config}
        wanted["name"] = name
        wanted["mirror"] = {"name": name, "external": {"api": f"$JS.{domain}.API"}}
        wanted["mirror_direct"] = bool(config.get("allow_direct"))
        fault = await self._request(f"$JS.API.STREAM.CREATE.{name}", msgspec.json.encode(wanted))
        if fault:
            self._say(name, fault)
        else:
            self._said.pop(name, None)
            log.info("event=stream-mirrored stream=%s domain=%s", name, domain)

    async def _request(self, subject: str, payload: bytes) -> str:
        """Ask our own API; returns what is wrong, if anything."""
        home = self._streams
        answer = Answer(b"_INBOX." + new_token().encode())
        home.subscribe(answer)
        try:
            home.publish(make_message(subject.encode(), payload, answer.subject))
            home.flush()
            with trio.move_on_after(ANSWER_SECONDS):
                await answer.came.wait()
            if not answer.came.is_set():
                return "the streams here do not answer"
            error = foreign_json.decode(answer.payload, Answered).error
            return str(error.get("description", error)) if error else ""
        except msgspec.DecodeError as fault:
            return str(fault)
        finally:
            home.unsubscribe(answer)

    def _say(self, name: str, text: str) -> None:
        if self._said.get(name) != text:
            self._said[name] = text
            log.warning("event=stream-not-mirrored stream=%s reason=%r", name, text)
