"""Devices over the subject space: who is there, what they log, a new release for one of them."""

import json
import time
from collections.abc import Callable
from typing import Any

from firmware.console import printable
from firmware.release import Release
from gateway.command.clients.link import Interest, Link, Outgoing, Received, Target
from gateway.command.clients.opening import new_inbox, open_link
from gateway.command.message_text import tell
from gateway.errors import ClientError

RETAINED = b"$LEAFGATE.retained.get"
QUERY_SECONDS = 1.0
ANSWER_SECONDS = 5.0
MAX_TEXT = 16_384  # what a device tells of a hundred files is shorter


def query_devices(target: Target, prefix: str, seconds: float) -> list[dict[str, Any]]:
    """What every device that answers within `seconds` says about itself, and what the gateway remembers of the others'
    presence, by name.
    """
    answers: dict[str, dict[str, Any]] = {}
    inbox = new_inbox(target)
    with open_link(target, [Interest(inbox)]) as link:
        # A nats-server has no such service, and says so without a payload.
        remembered = Outgoing(RETAINED, _subject(prefix, "*", "presence"), inbox)
        link.publish([Outgoing(_subject(prefix, "query"), b"", inbox), remembered])
        deadline = time.monotonic() + seconds
        while (message := link.next_message(deadline)) is not None:
            told = _fields(message)
            if isinstance(name := told.get("name"), str):
                known = answers.get(name, {})
                # Who answers is there, whatever is remembered.
                answers[name] = known | told if "release" in told else told | known
    return [answers[name] for name in sorted(answers)]


def wait_for_device(target: Target, prefix: str, name: str, release: int, seconds: float) -> dict[str, Any] | None:
    """What a device says about itself once it runs a release, or None when it does not within `seconds`."""
    inbox = new_inbox(target)
    give_up = time.monotonic() + seconds
    with open_link(target, [Interest(inbox), Interest(_subject(prefix, name, "presence"))]) as link:
        while (now := time.monotonic()) < give_up:
            # Asked again and again: it may have said so before we listened.
            link.publish([Outgoing(_subject(prefix, "query"), b"", inbox)])
            deadline = min(give_up, now + QUERY_SECONDS)
            while (message := link.next_message(deadline)) is not None:
                told = _fields(message)
                # Another board may have the name, and the gateway tells of its presence as well.
                if told.get("name") == name and told.get("release") == release:
                    return told
    return None


def print_logs(target: Target, prefix: str, name: str) -> None:
    """Print what devices log, for ever; `name` may be `*`."""
    with open_link(target, [Interest(_subject(prefix, name, "log"))]) as link:
        tell(f"listening to {prefix}.{name}.log at {target.url}")
        while (message := link.next_message(None)) is not None:
            device = message.name.decode("utf-8", "replace").split(".")[-2]
            print(f"{device}: {printable(message.payload)}", flush=True)


def fetch_manifest(target: Target, prefix: str, name: str) -> bytes:
    """The manifest of the release that a device runs. Raises ClientError when it does not answer."""
    inbox = new_inbox(target)
    with open_link(target, [Interest(inbox)]) as link:
        link.publish([Outgoing(_subject(prefix, name, "manifest"), b"", inbox)])
        answer = link.next_message(time.monotonic() + ANSWER_SECONDS)
    if answer is None or not answer.payload:
        raise _unanswered(name)
    return answer.payload


def update_device(
    target: Target, prefix: str, name: str, release: Release, seconds: float, progress: Callable[[str], None]
) -> list[str]:
    """Put a release on a device and see it prove itself there; returns the paths that went over the air.

    Raises ClientError when the device refuses the release, or has gone back to the one it had.
    """
    update = _Update(new_inbox(target), prefix, name, release, progress)
    with open_link(target, [Interest(one) for one in update.subjects]) as link:
        fetched = update.run(link, time.monotonic() + seconds)
    if fetched is None:
        raise ClientError(f"{name} has not finished within {seconds:g} s; `leafgate device list` tells more")
    return fetched


class _Update:
    """One release on its way to one device, over one connection that is subscribed to its `subjects`."""

    def __init__(self, inbox: bytes, prefix: str, name: str, release: Release, progress: Callable[[str], None]) -> None:
        self._inbox = inbox
        self._name = name
        self._release = release
        self._progress = progress
        self._update = _subject(prefix, name, "update")
        self._chunk = self._update + b".chunk"
        self._status = self._update + b".status"
        self._presence = _subject(prefix, name, "presence")
        self.subjects = (inbox, self._chunk, self._status, self._presence)
        self._fetched: list[str] | None = None
        self._sent = 0

    def run(self, link: Link, deadline: float) -> list[str] | None:
        """The paths that were sent; None where the device has not proved itself by `deadline`."""
        link.publish([Outgoing(self._update, self._release.offer, self._inbox)])
        self._accepted(link, min(deadline, time.monotonic() + ANSWER_SECONDS))
        while (message := link.next_message(deadline)) is not None:
            if message.name == self._chunk and message.reply:
                self._answer(link, message)
            elif message.name == self._status:
                self._note_status(_fields(message))
            elif message.name == self._presence and self._proved(_fields(message)):
                return self._fetched or []
        return None

    def _accepted(self, link: Link, deadline: float) -> None:
        while (message := link.next_message(deadline)) is not None and message.name != self._inbox:
            pass
        answer = _fields(message) if message is not None else {}
        if not answer:  # nobody, or the server says so
            raise _unanswered(self._name)
        if "error" in answer:
            raise ClientError(f"{self._name} refuses: {_text(answer['error'])}")

    def _answer(self, link: Link, message: Received) -> None:
        data = self._release.chunk(message.payload)
        self._sent += len(data)
        self._progress(f"{self._sent} bytes sent")
        link.publish([Outgoing(message.reply, data)])

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


def _subject(*parts: str) -> bytes:
    return ".".join(parts).encode()


def _fields(message: Received) -> dict[str, Any]:
    """The JSON object of a message; empty for anything else, since anybody may publish."""
    try:
        told = json.loads(message.payload[:MAX_TEXT])
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _unanswered(name: str) -> ClientError:
    return ClientError(f"no device {name} answers; `leafgate device list` shows those that do")


def _text(value: object) -> str:
    return printable(str(value).encode("utf-8", "replace")[:200])
