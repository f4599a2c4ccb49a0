"""Whatever stands in a configuration file, it is a configuration or an error, and no error repeats a secret."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from gateway.command.importing.toml_text import toml_text
from gateway.doors.securing import check_tls
from gateway.errors import ConfigError
from gateway.settings.schema import Config, load_config
from gateway.settings.watched_files import marks, watched_paths

SECRET = "qZ7vSECRETx93"
SECRET_BEGINNINGS = ("", "$2b$10$", "$7$101$", "$6$", "SCRAM-SHA-256$4096:", "SU", "$argon2id$", "9" * 9, "~", "\u0661")
PATHS = ("~nobody-here/x", "a\0b", "", ".", "/dev/null", "x" * 5000, "~")
TEXTS = st.sampled_from([*PATHS, "127.0.0.1:0", "nats", "mqtt", "websocket", "$G", "a", "U" * 56]) | st.text(max_size=8)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.integers(-3, 1 << 40) | st.booleans() | st.floats(allow_nan=True, width=32),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


def is_secret(path: str) -> bool:
    return path.endswith((".password", ".token", ".scram", ".nkey", ".secret")) and not path.startswith("listeners")


def secret_values(path: str) -> st.SearchStrategy[Any]:
    """Right and wrong values of a key that holds a secret, all with the marker in what would be the secret."""
    begun = st.builds(lambda start, end: start + SECRET + end, st.sampled_from(SECRET_BEGINNINGS), st.text(max_size=4))
    tables = st.dictionaries(st.sampled_from(["value", "text", "secret"]), begun, max_size=2)
    return begun | st.lists(begun, min_size=1, max_size=2) | tables


def urls() -> st.SearchStrategy[str]:
    """URLs with a password in its place, whatever else is wrong with them."""
    shape = st.sampled_from(
        [
            "nats://u:{}@h",
            "nats-leaf://u:{}@",
            "http://u:{}@h:1",
            "nats://u:{}@h:99999",
            "u:{}@h",
            "nats://u:{}/@h",
            "nats://u:%ff{}@h",
            "nats://:{}@h",
            "nats://u:{}@h h",
            "nats://u:{}@[::1",
            "tls://u:{}",
            "nats://u:{}@h:{}",
        ]
    )
    return shape.map(lambda one: one.replace("{}", SECRET))


def values(kind: inspect.Type, path: str = "") -> st.SearchStrategy[Any]:
    """Mostly what the schema wants there, now and then anything else."""
    right: st.SearchStrategy[Any]
    if is_secret(path):
        return secret_values(path)
    if path.endswith(".urls"):
        return st.lists(urls(), min_size=1, max_size=2) | urls()
    if isinstance(kind, inspect.StructType):
        fields = {one.encode_name: values(one.type, f"{path}.{one.encode_name}") for one in kind.fields}
        right = st.fixed_dictionaries({}, optional=fields)
    elif isinstance(kind, inspect.VarTupleType):
        right = st.lists(values(kind.item_type, path), max_size=2)
    elif isinstance(kind, inspect.UnionType):
        right = st.one_of(*(values(one, path) for one in kind.types if not isinstance(one, inspect.NoneType)))
    elif isinstance(kind, inspect.LiteralType):
        right = st.sampled_from(kind.values)
    elif isinstance(kind, inspect.DictType):
        right = st.dictionaries(TEXTS, values(kind.value_type, path), max_size=2)
    elif isinstance(kind, inspect.BoolType):
        right = st.booleans()
    elif isinstance(kind, inspect.IntType | inspect.FloatType):
        right = st.integers(-1, 100_000)
    else:
        right = TEXTS
    return st.integers(0, 9).flatmap(lambda dice: ANYTHING if dice == 0 else right)


def without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nothing(part) for key, part in value.items() if part is not None}
    return [without_nothing(part) for part in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configuration") / "leafgate.toml"


def load(file: Path) -> None:
    """Load it as `leafgate check` and the watcher do."""
    marks(watched_paths(file))
    fault: ConfigError | None = None
    try:
        config = load_config(file)
        assert SECRET not in repr(config)
        check_tls(config)
    except ConfigError as error:
        fault = error
    assert SECRET not in f"{fault} {fault!r}"
    assert fault is None or fault.__cause__ is None


@given(document=values(inspect.type_info(Config)))
@settings(max_examples=300)
def test_any_table(file: Path, document: Any) -> None:
    if not isinstance(document, dict):
        return
    try:
        text = toml_text(without_nothing(document))
        tomllib.loads(text)
    except (TypeError, ValueError):
        return  # What TOML cannot say.
    file.write_text(text)
    load(file)


TEXT = f'[authentication]\ntoken = "{SECRET}"\n[[users]]\nname = "a"\npassword = "{SECRET}"\nscram = "{SECRET}"\n'


@given(cut=st.integers(0, len(TEXT)), inserted=st.text(alphabet="\"'[]{}=,.#\\\n\0u019eE-_:\ud7ff ", max_size=4))
@settings(max_examples=200)
@example(cut=0, inserted="x = " + "9" * 5000)
@example(cut=0, inserted="x = " + "[" * 5000)
@example(cut=0, inserted='[authentication]\nusers-directory = "a\\u0000b"\n')
@example(cut=0, inserted='[authentication]\nusers-directory = "~nobody-here/x"\n')
@example(cut=0, inserted='data-directory = "~nobody-here/x"\ncontrol-socket = "~nobody-here"\n')
def test_any_text(file: Path, cut: int, inserted: str) -> None:
    file.write_text(TEXT[:cut] + inserted + TEXT[cut:])
    load(file)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("key", ["certificate", "key", "client-ca", "psk-file"])
def test_any_path(file: Path, name: str, key: str) -> None:
    tls = {"certificate": "/dev/null", key: name}
    file.write_text(toml_text({"listeners": [{"protocol": "nats", "address": "127.0.0.1:0", "tls": tls}]}))
    load(file)


@pytest.mark.parametrize("name", [*PATHS, "..", "a/b"])
@pytest.mark.parametrize("source", ["file", "credential", "env"])
def test_any_place_of_a_secret(file: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    file.write_text(toml_text({"authentication": {"token": {source: name}}}))
    load(file)


def test_bytes_in_the_environment_that_are_no_text(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAFGATE_TOKEN", f"{SECRET}\udcff")
    file.write_text('[authentication]\ntoken = { env = "LEAFGATE_TOKEN" }\n')
    with pytest.raises(ConfigError, match="LEAFGATE_TOKEN") as caught:
        load_config(file)
    assert SECRET not in str(caught.value)
