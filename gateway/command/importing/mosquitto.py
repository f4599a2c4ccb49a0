"""mosquitto's configuration as ours: listeners, TLS, passwords, access lists and limits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.command.importing.imported import Imported
from gateway.errors import ConfigError
from gateway.settings.addresses import join_address
from gateway.settings.credential_forms import hash_fault, is_hash
from protocols.topic_mapping import filter_to_subjects, topic_to_subject

NONE = "has no counterpart"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - mosquitto's, where a listener names no address
LOCAL = "127.0.0.1"
ANONYMOUS = "anonymous"
LIMITS = {
    "max_inflight_messages": ("mqtt", "max-inflight"),
    "max_queued_messages": ("mqtt", "max-queued-messages"),
    "max_queued_bytes": ("mqtt", "max-queued-bytes"),
    "max_packet_size": ("mqtt", "max-packet-bytes"),
    "max_keepalive": ("mqtt", "max-keep-alive-seconds"),
    "max_topic_alias": ("mqtt", "max-topic-aliases"),
    "message_size_limit": ("limits", "max-payload-bytes"),
    "max_connections": ("limits", "max-connections"),
}
# What is so here anyway.
NATURAL = frozenset(("persistence", "persistent_client_expiration", "autosave_interval", "set_tcp_nodelay", "user"))
ACCESS = {"read": ("subscribe",), "write": ("publish",), "readwrite": ("publish", "subscribe"), "deny": ()}


def import_mosquitto(path: Path) -> Imported:
    """Raises ConfigError for a file that cannot be read."""
    return MosquittoImport(path).imported


class MosquittoImport:
    """One conversion."""

    def __init__(self, path: Path) -> None:
        self.imported = Imported()
        self._listeners: list[dict[str, Any]] = []
        self._users: dict[str, dict[str, Any]] = {}
        self._anonymous = False
        self._current: dict[str, Any] | None = None
        self._passwords = self._access = ""
        for place, key, value in read_lines(path):
            self._take(place, key, value)
        self._finish(path.parent)

    def _take(self, place: str, key: str, value: str) -> None:
        if key == "listener":
            port, _, host = value.partition(" ")
            self._open(join_address(host.strip() or EVERYWHERE, _number(place, port)))
        elif key == "port":
            self._open(join_address(EVERYWHERE, _number(place, value)))
        elif key == "bind_address":
            self.imported.note(place, "bind_address: write it as listener PORT ADDRESS")
        elif key == "protocol":
            self._listener()["protocol"] = "websocket" if value == "websockets" else "mqtt"
        elif key in TLS:
            self._listener().setdefault("tls", {"certificate": ""})[TLS[key]] = value
        elif key == "require_certificate":
            if value == "true":
                self._listener().setdefault("tls", {"certificate": ""}).setdefault("verify", "require")
        elif key in ("use_identity_as_username", "use_subject_as_username"):
            if value == "true":
                self._listener().setdefault("tls", {"certificate": ""})["verify"] = "map"
        elif key == "allow_anonymous":
            self._anonymous = value == "true"
        elif key == "password_file":
            self._passwords = value
        elif key == "acl_file":
            self._access = value
        elif key == "persistence_location":
            self.imported.document["data-directory"] = value
        elif key in LIMITS:
            section, ours = LIMITS[key]
            if not (key == "max_connections" and value == "-1"):
                self.imported.put(section, ours, _number(place, value))
        elif key == "log_type":
            if value in ("debug", "all"):
                self.imported.put("logging", "level", "debug")
        elif key not in NATURAL:
            self.imported.note(place, f"{key} {NONE}")

    def _open(self, address: str) -> None:
        self._current = {"protocol": "mqtt", "address": address}
        self._listeners.append(self._current)

    def _listener(self) -> dict[str, Any]:
        """The one that options belong to; before any there is the usual one."""
        if self._current is None:
            self._open(join_address(LOCAL, 1883))
        assert self._current is not None
        return self._current

    def _finish(self, directory: Path) -> None:
        if not self._listeners:
            self._listener()
        if self._passwords:
            self._read_passwords(directory / self._passwords)
        if self._access:
            self._read_access(directory / self._access)
        ours = self.imported.document
        ours["listeners"] = self._listeners
        ours["monitoring"] = {"address": ""}
        anonymous = self._users.get(ANONYMOUS)
        if self._anonymous and self._users:
            # It has no password of anybody's: nobody comes in as it but those who say nothing.
            self._users.setdefault(ANONYMOUS, {"name": ANONYMOUS})
            self.imported.put("authentication", "no-auth-user", ANONYMOUS)
        elif anonymous is not None and not self._anonymous:
            del self._users[ANONYMOUS]
        if self._users:
            ours["users"] = list(self._users.values())
        else:
            for listener in self._listeners:
                if not listener["address"].startswith((LOCAL, "localhost", "[::1]")):
                    listener["allow-anonymous"] = True
                    self.imported.note(f"listener {listener['address']}", "nobody is asked who he is: allow-anonymous")

    def _read_passwords(self, path: Path) -> None:
        for number, line in enumerate(_read(path).splitlines(), 1):
            name, colon, password = line.partition(":")
            if not colon or line.startswith("#"):
                continue
            if password.startswith("$") and hash_fault(password):
                sentence = f"{name} is left out: its password is no hash that holds here; `leafgate passwd` makes one"
                self.imported.note(f"{path.name}:{number}", sentence)
                continue
            self._users[name] = {"name": name, "password": password}
            if not is_hash(password):
                self.imported.note(f"{path.name}:{number}", f"the password of {name} stands there as it is")

    def _read_access(self, path: Path) -> None:
        """Topics come before the first `user` for those without a name; patterns are everybody's."""
        sentence = "a subscription to more than may be read is refused here; mosquitto takes it and delivers a part"
        self.imported.note(path.name, sentence)
        patterns: list[tuple[str, str, str]] = []
        name = ANONYMOUS
        for place, key, value in read_lines(path):
            if key == "user":
                name = value
            elif key == "topic":
                access, topic = split_access(value)
                self._allow(place, name, access, topic)
            elif key == "pattern":
                access, topic = split_access(value)
                if "%c" in topic:
                    self.imported.note(place, f"%c {NONE}: bind client ids by client-id-prefix")
                else:
                    patterns.append((place, access, topic))
            else:
                self.imported.note(place, f"{key} {NONE}")
        for user in list(self._users):
            for place, access, topic in patterns:
                self._allow(place, user, access, topic.replace("%u", user))
        for named in self._users.values():  # Whom the file does not name may do nothing.
            rules = named.setdefault("permissions", {})
            for side in ("publish", "subscribe"):
                rules.setdefault(side, {}).setdefault("allow", [])

    def _allow(self, place: str, name: str, access: str, topic: str) -> None:
        if name != ANONYMOUS and name not in self._users:
            self.imported.note(place, f"{name} has no password and cannot come in")
            return
        user = self._users.setdefault(name, {"name": name})
        rules = user.setdefault("permissions", {})
        subjects = subjects_of(topic)
        if subjects is None:
            self.imported.note(place, f"{topic!r} is no topic filter")
            return
        for side in ACCESS[access]:
            allowed = rules.setdefault(side, {}).setdefault("allow", [])
            allowed += [subject for subject in subjects if subject not in allowed]
        if access == "deny":
            for side in ("publish", "subscribe"):
                rules.setdefault(side, {}).setdefault("deny", []).extend(subjects)


TLS = {"certfile": "certificate", "keyfile": "key", "cafile": "client-ca"}


def split_access(value: str) -> tuple[str, str]:
    """Access and topic of a line; without the first it is for reading and writing."""
    access, _, topic = value.partition(" ")
    return (access, topic.strip()) if access in ACCESS and topic else ("readwrite", value)


def subjects_of(topic: str) -> list[str] | None:
    subjects = filter_to_subjects(topic.encode())
    if subjects is not None:
        return [subject.decode() for subject in subjects]
    subject = topic_to_subject(topic.encode())
    return [subject.decode()] if subject is not None else None


def read_lines(path: Path) -> Iterator[tuple[str, str, str]]:
    """Place, key and value of each line, those of included directories as well."""
    for number, line in enumerate(_read(path).splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, _, value = line.partition(" ")
        if key == "include_dir":
            for included in sorted((path.parent / value.strip()).glob("*.conf")):
                yield from read_lines(included)
        else:
            yield f"{path.name}:{number}", key, value.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None


def _number(place: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"{place}: {text!r} is no number")
    return int(text)
