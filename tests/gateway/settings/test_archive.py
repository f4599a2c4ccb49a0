"""What may be configured of a stream's copy in a database."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings.schema import load_config

GOOD = '[streams]\n[[streams.archive]]\nstream = "S"\ndatabase = "postgresql://edge@db/plant"\n'


def load(directory: Path, text: str) -> object:
    file = directory / "leafgate.toml"
    file.write_text(text)
    streams = load_config(file).streams
    assert streams is not None
    return streams.archive[0]


def test_an_archive_is_read_and_its_database_is_a_secret(tmp_path: Path) -> None:
    told = str(load(tmp_path, GOOD))
    assert "stream='S'" in told
    assert "table='leafgate_messages'" in told
    assert "plant" not in told


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('table = "x; DROP TABLE y"\n', "table"),
        ("partition-days = -1\n", "partition-days"),
        ('colour = "red"\n', "colour"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, more: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load(tmp_path, GOOD + more)


def test_a_database_has_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        load(tmp_path, GOOD.replace("postgresql://edge@db/plant", " "))
