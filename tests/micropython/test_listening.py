"""What the boards' READMEs say about the gateway's side works: a gateway as it comes is not heard on the network."""

import re
from pathlib import Path

import pytest

from gateway.settings.schema import load_config
from tests.micropython.unix_port import LIBRARY

READMES = (LIBRARY / "README.md", LIBRARY.parent / "firmware" / "README.md")


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_readme_tells_how_a_board_reaches_the_gateway(readme: Path, tmp_path: Path):
    text = readme.read_text()
    (block,) = [found for found in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[[listeners]]" in found]
    path = tmp_path / "leafgate.toml"
    (tmp_path / "users").mkdir()
    secret = tmp_path / "host.password"
    secret.touch(0o600)
    secret.write_text("secret\n")
    path.write_text(block.replace("/etc/leafgate", str(tmp_path)))
    (listener,) = load_config(path).listeners
    host, _, port = listener.address.rpartition(":")
    assert (listener.protocol, host, port) == ("nats", "0.0.0.0", "4222")
