"""What `make release` does beside building: the change log's section, a look into what was built, checksums, and their
signature.

release.py changelog FILE VERSION DATE      the section of VERSION gets its date; its text is printed
release.py contents DIRECTORY               whether every file in DIRECTORY holds all of leafgate, and sources alone
release.py sign DIRECTORY [KEY]             SHA256SUMS of the files in DIRECTORY, and its signature by KEY
release.py verify DIRECTORY [PUBLIC-KEY]    whether the files are those that were signed

A key is one of ssh-keygen (SHA256SUMS.sig), of minisign (SHA256SUMS.minisig) or of OpenSSL (PEM, Ed25519;
SHA256SUMS.ed25519). It is never copied, and a passphrase is asked for by the program that needs it.
"""

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

SUMS = "SHA256SUMS"
NOT_RELEASED = "not released yet"
# What a signature is for, in the words of ssh-keygen; another use of the same key is no signature of a release.
NAMESPACE = "leafgate-release"
SIGNER = "leafgate"
FILES = ("*.whl", "*.tar.gz", "*.deb", "*.oci.tar")
# Where leafgate's own packages lie in what is installed, at the beginning of a wheel or below one of these.
ROOMS = ("firmware/", "gateway/", "leafgate/", "protocols/")
FOLDERS = ("/site-packages/", "/dist-packages/", "/")
DATA = "share/leafgate/"
# What not every form of it has: bytecode; types, which only a build needs.
LEFT_OUT = (".pyc", ".pxd")
# What is in a source distribution without being a source.
BUILT = ("gateway/console/built/", "leafgate.egg-info/", "PKG-INFO", "setup.cfg")


class Kind(NamedTuple):
    """A program that signs, by how its keys begin, and where the signature stands."""

    name: str
    begins: tuple[str, ...]
    suffix: str


KINDS = (
    Kind("ssh-keygen", ("-----BEGIN OPENSSH PRIVATE KEY", "ssh-", "sk-ssh-", "ecdsa-"), ".sig"),
    Kind("minisign", ("untrusted comment:",), ".minisig"),
    Kind(
        "openssl", ("-----BEGIN PRIVATE KEY", "-----BEGIN ENCRYPTED PRIVATE KEY", "-----BEGIN PUBLIC KEY"), ".ed25519"
    ),
)


def fail(message: str) -> NoReturn:
    sys.exit(f"release: {message}")


def date_section(text: str, version: str, date: str) -> tuple[str, str]:
    """A change log whose section of a version has a date, and what that section says. Raises ValueError."""
    found = re.search(rf"^## {re.escape(version)}, (.+)\n((?:(?!## ).*\n?)*)", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"there is no section `## {version}, {NOT_RELEASED}`")
    if not found[2].strip():
        raise ValueError(f"the section of {version} says nothing")
    if found[1] not in (NOT_RELEASED, date):
        raise ValueError(f"{version} was released on {found[1]}: give it another version")
    return text[: found.start(1)] + date + text[found.end(1) :], found[2].strip()


def changelog(file: str, version: str, date: str) -> None:
    path = Path(file)
    try:
        text, section = date_section(path.read_text(), version, date)
    except ValueError as error:
        fail(f"{file}: {error}")
    path.write_text(text)
    print(section)


def sums_of(directory: Path) -> str:
    """Lines as sha256sum writes and reads them."""
    files = sorted({path for pattern in FILES for path in directory.glob(pattern)})
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def names_in(path: Path) -> Iterator[str]:
    """The files in a wheel, a source distribution, a Debian package or an image."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            yield from (name for name in wheel.namelist() if not name.endswith("/"))
    elif path.suffix == ".deb":
        done = subprocess.run(("dpkg-deb", "--fsys-tarfile", str(path)), check=True, capture_output=True)  # noqa: S607
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as package:
            yield from files_of(package)
    elif path.name.endswith(".oci.tar"):
        with tarfile.open(path) as image:

            def read(digest: str) -> bytes:
                blob = image.extractfile("blobs/" + digest.replace(":", "/"))
                assert blob is not None
                return blob.read()

            index = image.extractfile("index.json")
            assert index is not None
            manifest = json.loads(read(json.load(index)["manifests"][0]["digest"]))
            for layer in manifest["layers"]:
                with tarfile.open(fileobj=io.BytesIO(read(layer["digest"]))) as files:
                    yield from files_of(files)
    else:
        with tarfile.open(path) as archive:
            yield from files_of(archive)


def files_of(archive: tarfile.TarFile) -> Iterator[str]:
    return (member.name for member in archive if not member.isdir())


def own_files(names: Iterator[str]) -> tuple[set[str], set[str]]:
    """Of what is installed the files of leafgate's, wherever they lie, and the modules that were compiled."""
    files, compiled = set(), set()
    for name in names:
        _, found, data = name.partition(DATA)
        if found:
            files.add(found + data)
            continue
        for folder in FOLDERS:
            _, found, file = f"/{name}".partition(folder)
            if found and file.startswith(ROOMS):
                if file.endswith(".so"):
                    compiled.add(file.partition(".")[0])
                elif not file.endswith(LEFT_OUT):
                    files.add(file)
                break
    return files, compiled


def strangers(path: Path, sources: set[str]) -> list[str]:
    """What is in a source distribution and is none of the sources, nor built of them."""
    names = {name.partition("/")[2] for name in names_in(path)}
    return sorted(name for name in names - sources if not name.startswith(BUILT))


def contents(place: str) -> None:
    """Ends with 1 where a file lacks what another one has, is compiled in part, or holds what is no source."""
    paths = sorted({path for pattern in FILES for path in Path(place).glob(pattern)})
    held = {path: own_files(names_in(path)) for path in paths if not path.name.endswith(".tar.gz")}
    every = set().union(*(files for files, _ in held.values()))
    modules = set().union(*(compiled for _, compiled in held.values()))
    complaints = []
    for path, (files, compiled) in held.items():
        lacks = sorted(every - files)
        if lacks:
            complaints.append(f"{path.name} lacks {len(lacks)} files that others have: {', '.join(lacks[:5])}")
        if compiled != modules and (compiled or not path.name.endswith("-none-any.whl")):
            complaints.append(f"{path.name} has {len(compiled)} compiled modules of {len(modules)}")
        print(f"{path.stat().st_size / 1e6:7.2f} MB  {len(compiled):3} compiled  {path.name}")
    listed = subprocess.run(("git", "ls-files", "-z"), check=False, capture_output=True)  # noqa: S607
    for path in paths:
        if path.name.endswith(".tar.gz"):
            print(f"{path.stat().st_size / 1e6:7.2f} MB                {path.name}")
            found = strangers(path, set(listed.stdout.decode().split("\0"))) if listed.returncode == 0 else []
            if found:
                complaints.append(f"{path.name} holds {len(found)} files that are no sources: {', '.join(found[:5])}")
    if complaints:
        fail("\n".join(complaints))


def kind_of(key: Path) -> Kind:
    try:
        begin = key.read_text().lstrip()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{key}: {error}")
    for kind in KINDS:
        if begin.startswith(kind.begins):
            return kind
    fail(f"{key} is no key of ssh-keygen, minisign or OpenSSL")


def run(*command: str, given: bytes | None = None) -> None:
    done = subprocess.run(command, input=given, check=False, stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        fail(f"{command[0]} ended with {done.returncode}")


def sign(place: str, key: str = "") -> None:
    directory = Path(place)
    sums = directory / SUMS
    for kind in KINDS:
        sums.with_name(SUMS + kind.suffix).unlink(missing_ok=True)
    sums.write_text(sums_of(directory))
    if not sums.stat().st_size:
        fail(f"there is nothing to release in {directory}")
    if not key:
        print(f"{sums}: not signed; KEY=FILE names a key")
        return
    kind = kind_of(Path(key))
    signature = str(sums) + kind.suffix
    if kind.name == "ssh-keygen":
        run("ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", NAMESPACE, str(sums))
    elif kind.name == "minisign":
        run("minisign", "-S", "-s", key, "-m", str(sums), "-x", signature, "-t", NAMESPACE)
    else:
        run("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", str(sums), "-out", signature)
    print(f"{signature}: by {kind.name}")


def verify(place: str, key: str = "") -> None:
    """Ends with 1 where a file is another one, or the signature is not that key's."""
    sums = Path(place) / SUMS
    if not sums.exists() or sums.read_text() != sums_of(sums.parent):
        fail(f"{sums} is not that of the files beside it")
    if key:
        kind = kind_of(Path(key))
        signature = str(sums) + kind.suffix
        if kind.name == "ssh-keygen":
            allowed = Path(place) / "allowed-signers"
            allowed.write_text(f"{SIGNER} {Path(key).read_text()}")
            words = ("-Y", "verify", "-f", str(allowed), "-I", SIGNER, "-n", NAMESPACE, "-s", signature)
            try:
                run("ssh-keygen", *words, given=sums.read_bytes())
            finally:
                allowed.unlink()
        elif kind.name == "minisign":
            run("minisign", "-V", "-q", "-p", key, "-m", str(sums), "-x", signature)
        else:
            run(
                "openssl",
                "pkeyutl",
                "-verify",
                "-rawin",
                "-pubin",
                "-inkey",
                key,
                "-in",
                str(sums),
                "-sigfile",
                signature,
            )
    print(f"{sums}: right")


if __name__ == "__main__":
    commands = {
        "changelog": (changelog, (3,)),
        "contents": (contents, (1,)),
        "sign": (sign, (1, 2)),
        "verify": (verify, (1, 2)),
    }
    action, counts = commands.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, ()))
    if action is None or len(sys.argv) - 2 not in counts:
        sys.exit(__doc__)
    action(*sys.argv[2:])
