"""Devices over the subject space: who is there, what they log, a new release for one of them."""

import json
import secrets
import sys
from collections.abc import Callable
from typing import Any

import trio

from firmware.console import printable
from firmware.release import Release
from gateway.command.messages import NatsLink, open_link
from gateway.errors import ClientError
from gateway.settings.addresses import ServerUrl
from protocols.message import Message
from protocols.nats.client import encode_publish, encode_subscribe

RETAINED = b"$LEAFGATE.retained.get"
QUERY_SECONDS = 1.0
ANSWER_SECONDS = 5.0
MAX_TEXT = 16_384  # what a device tells of a hundred files is shorter


async def query_devices(url: ServerUrl, prefix: str, seconds: float) -> list[dict[str, Any]]:
    """What every device that answers within `seconds` says about itself, and what the gateway remembers of the others'
    presence, by name.
    """
    answers: dict[str, dict[str, Any]] = {}
    async with open_link(url) as link:
        inbox = await _subscribe_inbox(link)
        await link.send(encode_publish(_subject(prefix, "query"), b"", inbox))
        # A nats-server has no such service, and says so without a payload.
        await link.send(encode_publish(RETAINED, _subject(prefix, "*", "presence"), inbox))
        with trio.move_on_after(seconds):
            while True:
                told = _fields(await link.next_message())
                if isinstance(name := told.get("name"), str):
                    known = answers.get(name, {})
                    # Who answers is there, whatever is remembered.
                    answers[name] = known | told if "release" in told else told | known
    return [answers[name] for name in sorted(answers)]


async def wait_for_device(
    url: ServerUrl, prefix: str, name: str, release: int, seconds: float
) -> dict[str, Any] | None:
    """What a device says about itself once it runs a release, or None when it does not within `seconds`."""
    async with open_link(url) as link:
        inbox = await _subscribe_inbox(link)
        await link.send(encode_subscribe(_subject(prefix, name, "presence"), b"2"))
        with trio.move_on_after(seconds):
            while True:
                # Asked again and again: it may have said so before we listened.
                await link.send(encode_publish(_subject(prefix, "query"), b"", inbox))
                with trio.move_on_after(QUERY_SECONDS):
                    while True:
                        told = _fields(await link.next_message())
                        # Another board may have the name, and the gateway tells of its presence as well.
                        if told.get("name") == name and told.get("release") == release:
                            return told
    return None


async def print_logs(url: ServerUrl, prefix: str, name: str) -> None:
    """Print what devices log, for ever; `name` may be `*`."""
    async with open_link(url) as link:
        await link.send(encode_subscribe(_subject(prefix, name, "log"), b"1"))
        await link.settle()
        print(f"listening to {prefix}.{name}.log at {url}", file=sys.stderr, flush=True)
        while True:
            message = await link.next_message()
            device = message.subject.decode("utf-8", "replace").split(".")[-2]
            print(f"{device}: {printable(message.payload())}", flush=True)


async def fetch_manifest(url: ServerUrl, prefix: str, name: str) -> bytes:
    """The manifest of the release that a device runs. Raises ClientError when it does not answer."""
    async with open_link(url) as link:
        inbox = await _subscribe_inbox(link)
        await link.send(encode_publish(_subject(prefix, name, "manifest"), b"", inbox))
        with trio.move_on_after(ANSWER_SECONDS):
            if payload := (await link.next_message()).payload():
                return payload
    raise _unanswered(name)


async def update_device(
    url: ServerUrl, prefix: str, name: str, release: Release, seconds: float, progress: Callable[[str], None]
) -> list[str]:
    """Put a release on a device and see it prove itself there; returns the paths that went over the air.

    Raises ClientError when the device refuses the release, or has gone back to the one it had.
    """
    async with open_link(url) as link:
        try:
            with trio.fail_after(seconds):
                return await _Update(link, prefix, name, release, progress).run()
        except trio.TooSlowError:
            raise ClientError(
                f"{name} has not finished within {seconds:g} s; `leafgate device list` tells more"
            ) from None


class _Update:
    """One release on its way to one device, over one connection."""

    def __init__(
        self, link: NatsLink, prefix: str, name: str, release: Release, progress: Callable[[str], None]
    ) -> None:
        self._link = link
        self._name = name
        self._release = release
        self._progress = progress
        self._update = _subject(prefix, name, "update")
        self._chunk = self._update + b".chunk"
        self._status = self._update + b".status"
        self._presence = _subject(prefix, name, "presence")
        self._query = _subject(prefix, "query")
        self._fetched: list[str] | None = None
        self._sent = 0

    async def run(self) -> list[str]:
        link = self._link
        inbox = await _subscribe_inbox(link)
        for sid, subject in ((b"2", self._chunk), (b"3", self._status), (b"4", self._presence)):
            await link.send(encode_subscribe(subject, sid))
        link.check_payload(len(self._release.offer))
        await link.send(encode_publish(self._update, self._release.offer, inbox))
        await self._accepted(inbox)
        while True:
            message = await link.next_message()
            if message.subject == self._chunk and message.reply:
                await self._answer(message)
            elif message.subject == self._status:
                self._note_status(_fields(message))
            elif message.subject == self._presence and self._proved(_fields(message)):
                return self._fetched or []

    async def _accepted(self, inbox: bytes) -> None:
        answer: dict[str, Any] = {}
        with trio.move_on_after(ANSWER_SECONDS):
            while (message := await self._link.next_message()).subject != inbox:
                pass
            answer = _fields(message)
        if not answer:  # nobody, or the server says so
            raise _unanswered(self._name)
        if "error" in answer:
            raise ClientError(f"{self._name} refuses: {_text(answer['error'])}")

    async def _answer(self, message: Message) -> None:
        data = self._release.chunk(message.payload())
        self._sent += len(data)
        self._progress(f"{self._sent} bytes sent")
        await self._link.send(encode_publish(message.reply, data))

    def _note_status(self, told: dict[str, Any]) -> None:
        if told.get("state") == "failed":
            raise ClientError(f"{self._name} refuses: {_text(told.get('detail'))}")
        if told.get("state") == "installed":
            self._fetched = [_text(path) for path in told.get("fetched") or []]
            self._progress("installed, restarting")

    def _proved(self, told: dict[str, Any]) -> bool:
        if told.get("trial") or "release" not in told or self._fetched is None:
            return False
        if told.get("release") == self._release.number:
            return True
        raise ClientError(
            f"{self._name} went back to release {told.get('release')}: release {self._release.number} started "
            "but did not prove itself; its log and its console tell why"
        )


async def _subscribe_inbox(link: NatsLink) -> bytes:
    inbox = b"_INBOX." + secrets.token_hex(11).encode()
    await link.send(encode_subscribe(inbox, b"1"))
    await link.settle()
    return inbox


def _subject(*parts: str) -> bytes:
    return ".".join(parts).encode()


def _fields(message: Message) -> dict[str, Any]:
    """The JSON object of a message; empty for anything else, since anybody may publish."""
    try:
        told = json.loads(message.payload()[:MAX_TEXT])
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _unanswered(name: str) -> ClientError:
    return ClientError(f"no device {name} answers; `leafgate device list` shows those that do")


def _text(value: object) -> str:
    return printable(str(value).encode("utf-8", "replace")[:200])
