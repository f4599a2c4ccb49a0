"""What goes with the image: the compose example, and the add-on for Home Assistant as its Supervisor reads it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from compose_spec import PyOptions

from gateway.settings.schema import load_config
from gateway.version import VERSION
from tests.integration.peers import NATS_SERVER, require_peer
from tests.patience import LONG_SECONDS

pytestmark = pytest.mark.one_form

CONFIGS = Path(__file__).parents[2] / "configs"
COMPOSE = CONFIGS / "container/compose"
ADD_ON = CONFIGS / "home-assistant"

# The rules of the Supervisor for what we use of config.yaml; what it does not know it drops without a word.
TEXT = (str, r"(?s).+")
RULES: dict[str, tuple[type, str]] = {
    "name": TEXT,
    "slug": (str, r"[-_.A-Za-z0-9]+"),
    "version": (str, r"\d+\.\d+\.\d+"),
    "description": TEXT,
    "arch": (list, r"armhf|armv7|aarch64|amd64|i386"),
    "startup": (str, r"initialize|system|services|application|once"),
    "boot": (str, r"auto|manual|manual_only"),
    "stage": (str, r"stable|experimental|deprecated"),
    "init": (bool, ""),
    "timeout": (int, r"[1-9]\d|[12]\d\d|300"),
    "backup": (str, r"hot|cold"),
    "map": (list, ""),
    "ports": (dict, r"\d+(/(tcp|udp))?"),
    "ports_description": (dict, r"\d+(/(tcp|udp))?"),
    "webui": (str, r"(https?|\[PROTO:\w+\])://\[HOST\]:\[PORT:\d+\].*"),
    "watchdog": (str, r"(https?|\[PROTO:\w+\]|tcp)://\[HOST\]:(\[PORT:\d+\]|\d+).*"),
    "ulimits": (dict, r"\w+"),
    "options": (dict, r"\w+"),
    "schema": (dict, r"\w+"),
}
REQUIRED = {"name", "version", "slug", "description", "arch"}
MAPPED = {"data", "ssl", "addons", "backup", "share", "media", "homeassistant_config", "all_addon_configs"}
MAPPED |= {"addon_config"}
ELEMENT = re.compile(
    r"(bool|email|url|port|device(\(.+\))?|str(\(.+\))?|password(\(.+\))?|int(\(.+\))?|float(\(.+\))?)\??"
)
BASE_IMAGE = re.compile(r"([a-zA-Z\-.:\d{}]+/)*[-\w{}]+/[-\w{}]+(:[.\-\w{}]+)?")


def elements(schema: object) -> list[str]:
    """The types of values that a schema of options names."""
    if isinstance(schema, str):
        return [schema]
    inside = schema.values() if isinstance(schema, dict) else schema
    assert isinstance(inside, list) or not isinstance(schema, list)
    return [name for part in inside for name in elements(part)]  # type: ignore[union-attr]


def test_compose_file_is_one_of_the_specification() -> None:
    compose = PyOptions(apply_merge=True).from_yaml((COMPOSE / "compose.yaml").read_text())
    compose.validate()
    assert set(compose.service_names()) == {"gateway", "hub-1", "hub-2", "hub-3", "sensor"}


def test_compose_file_mounts_what_is_there_and_names_this_version() -> None:
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    mounts = [mount for one in services.values() for mount in one.get("volumes", []) if mount.startswith("./")]
    assert len(mounts) == 4
    assert all((COMPOSE / mount.split(":")[0]).exists() for mount in mounts)
    assert services["gateway"]["image"] == f"leafgate:{VERSION}"


@pytest.mark.parametrize("file", [COMPOSE / "leafgate.toml", CONFIGS / "container/leafgate.toml"], ids=str)
def test_configurations_of_containers_are_right(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAFGATE_PASSWORD", "secret")
    assert "admin" in {user.name for user in load_config(file).users}


def test_hub_of_the_compose_file_is_taken_by_nats_server(tmp_path: Path) -> None:
    command = [require_peer(NATS_SERVER), "-t", "-c", str(COMPOSE / "hub.conf")]
    environment = os.environ | {"HUB_NAME": "hub-1"}
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, check=False, timeout=LONG_SECONDS
    )
    assert done.returncode == 0, done.stderr


def test_add_on_keeps_to_the_rules_of_the_supervisor() -> None:
    told = yaml.safe_load((ADD_ON / "config.yaml").read_text())
    assert set(told) >= REQUIRED
    for key, value in told.items():
        kind, pattern = RULES[key]
        assert type(value) is kind, key
        for part in map(str, value if kind in (list, dict) else [value]):
            assert not pattern or re.fullmatch(pattern, part), f"{key}: {part}"
    assert all(one["type"] in MAPPED and type(one["read_only"]) is bool for one in told["map"])
    assert set(told["ports"]) == set(told["ports_description"])
    assert set(told["options"]) == set(told["schema"])
    assert all(map(ELEMENT.fullmatch, elements(told["schema"])))
    build = yaml.safe_load((ADD_ON / "build.yaml").read_text())
    assert set(build["build_from"]) == set(told["arch"])
    assert all(map(BASE_IMAGE.fullmatch, build["build_from"].values()))
    assert {told["version"], *(image.rpartition(":")[2] for image in build["build_from"].values())} == {VERSION}


def started(tmp_path: Path, options: object) -> "subprocess.CompletedProcess[str]":
    """What start.py does with options; a stand-in for `leafgate` tells with which words it was called."""
    program = tmp_path / "leafgate"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    (tmp_path / "options.json").write_text(json.dumps(options))
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "LEAFGATE_ADDON_DATA": str(tmp_path),
        "LEAFGATE_ADDON_CONFIG": str(tmp_path / "own"),
    }
    command = [sys.executable, str(ADD_ON / "start.py")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LONG_SECONDS)


def test_options_of_the_add_on_become_a_configuration(tmp_path: Path) -> None:
    logins = [{"username": "anna", "password": 'qu"ote\\'}]
    done = started(tmp_path, {"logins": logins, "uplinks": ["nats-leaf://hub.example"], "forward": ["sensors.>"]})
    assert done.stdout == f"run -c {tmp_path}/leafgate.toml\n", done.stderr
    config = load_config(tmp_path / "leafgate.toml")
    assert [user.name for user in config.users] == ["anna"]
    assert config.users[0].password is not None
    assert config.users[0].password.value == 'qu"ote\\'
    assert [str(url) for uplink in config.uplinks for url in uplink.urls] == ["nats-leaf://hub.example:7422"]
    assert (tmp_path / "leafgate.toml").stat().st_mode & 0o077 == 0


def test_add_on_without_a_login_says_what_is_missing(tmp_path: Path) -> None:
    done = started(tmp_path, {"logins": []})
    assert done.returncode == 1
    assert done.stderr.startswith("leafgate: give a login")


def test_file_of_ones_own_stands_in_for_the_options(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/leafgate.toml").touch()
    assert started(tmp_path, {}).stdout == f"run -c {tmp_path}/own/leafgate.toml\n"
