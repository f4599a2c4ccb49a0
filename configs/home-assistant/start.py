"""Starts the gateway of the add-on: /data/options.json, what was said on the add-on's page, becomes its configuration.

A leafgate.toml in the add-on's own folder (addon_configs) stands in for all of it.
"""

import json
import os
import sys
from pathlib import Path

DATA = Path(os.environ.get("LEAFGATE_ADDON_DATA", "/data"))
OWN = Path(os.environ.get("LEAFGATE_ADDON_CONFIG", "/config")) / "leafgate.toml"
LISTENERS = (("nats", 4222), ("mqtt", 1883), ("websocket", 8080))


def text(value: object) -> str:
    """A string of TOML, whose escapes are those of JSON."""
    return json.dumps(str(value))


def configuration(options: dict[str, list]) -> str:
    """What the options say, in TOML."""
    lines = [f"data-directory = {text(DATA / 'leafgate')}"]
    for protocol, port in LISTENERS:
        lines += ["[[listeners]]", f'protocol = "{protocol}"', f'address = "0.0.0.0:{port}"']
    lines += ["[monitoring]", 'address = "127.0.0.1:8222"']
    for login in options.get("logins", []):
        lines += ["[[users]]", f"name = {text(login['username'])}", f"password = {text(login['password'])}"]
    if uplinks := options.get("uplinks", []):
        lines += ["[[uplinks]]", f"urls = [{', '.join(map(text, uplinks))}]"]
        if forward := options.get("forward", []):
            lines += ["[[store-and-forward]]", f"subjects = [{', '.join(map(text, forward))}]"]
    return "\n".join(lines) + "\n"


def main() -> None:
    file = OWN
    if not OWN.exists():
        options = json.loads((DATA / "options.json").read_text())
        if not options.get("logins"):
            sys.exit("leafgate: give a login on the page of the add-on: without one everybody on the network came in")
        file = DATA / "leafgate.toml"
        file.touch(mode=0o600)
        file.write_text(configuration(options))
    os.execvp("leafgate", ["leafgate", "run", "-c", str(file)])


main()
