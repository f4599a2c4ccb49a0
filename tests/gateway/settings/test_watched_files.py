"""Which files a configuration was read from, and that one sees when they are others."""

import itertools
import os
from pathlib import Path

import pytest

from gateway.settings.watched_files import marks, watched_paths

DOCUMENT = """
name = "edge"
ports-file = "/ports"
[authentication]
token = { file = "/run/token" }
users-directory = "/etc/users"
[[listeners]]
protocol = "nats"
tls = { certificate = "/tls/cert.pem", key = "/tls/key.pem", client-ca = "/tls/ca.pem" }
[[uplinks]]
credentials = "/hub.creds"
nkey = { credential = "nkey" }
tls = { ca = "~/hub.pem" }
[[users]]
password = { env = "PASSWORD" }
"""


def test_everything_that_is_named_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/leafgate")
    monkeypatch.setenv("HOME", "/home/me")
    file = tmp_path / "leafgate.toml"
    file.write_text(DOCUMENT)
    names = "/run/token /etc/users /tls/cert.pem /tls/key.pem /tls/ca.pem /hub.creds"
    others = ["/run/credentials/leafgate/nkey", "/home/me/hub.pem"]
    assert watched_paths(file) == [file, *map(Path, names.split()), *map(Path, others)]


@pytest.mark.parametrize("content", ["no TOML", 'key = ""\ncertificate = 5\ntoken = { file = "a\\u0000b" }'])
def test_of_a_file_that_is_wrong_itself_is_watched(tmp_path: Path, content: str):
    file = tmp_path / "leafgate.toml"
    file.write_text(content)
    assert watched_paths(file) == [file]


def test_name_that_is_too_long_for_a_file_is_that_of_none(tmp_path: Path):
    file = tmp_path / "leafgate.toml"
    file.write_text(f'[tls]\nkey = "{"k" * 2000}"')
    assert set(marks(watched_paths(file)).values()) - {None} == {marks([file])[str(file)]}


class Site:
    """A file behind two links, as Kubernetes mounts one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("1", "2"):
            (directory / name).mkdir()
            (directory / name / "token").write_text("same")
        (directory / "..data").symlink_to("1")
        self.file = directory / "token"
        self.file.symlink_to("..data/token")

    def turn(self) -> None:
        link = self.directory / "..data_tmp"
        link.symlink_to("2")
        os.replace(link, self.directory / "..data")


CHANGES = {
    "content": lambda site: site.file.write_text("other"),
    "link": Site.turn,
    "removed": lambda site: site.file.unlink(),
    "target removed": lambda site: (site.directory / "1" / "token").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_other_content_and_other_targets_are_seen(tmp_path: Path, change):
    site = Site(tmp_path)
    before = marks([site.file])
    assert marks([site.file]) == before
    change(site)
    assert marks([site.file]) != before


def test_files_in_a_directory_are_seen_to_come_change_and_go(tmp_path: Path):
    directory = tmp_path / "users"
    directory.mkdir()
    seen = [marks([directory])]
    (directory / "ann.toml").write_text("a")
    seen.append(marks([directory]))
    (directory / "ann.toml").write_text("ab")
    seen.append(marks([directory]))
    (directory / "ann.toml").unlink()
    seen.append(marks([directory]))
    assert all(before != after for before, after in itertools.pairwise(seen))


def test_file_that_is_not_there_yet_is_seen_to_come(tmp_path: Path):
    file = tmp_path / "later"
    assert marks([file]) == {str(file): None}
    file.write_text("")
    assert marks([file])[str(file)] is not None
