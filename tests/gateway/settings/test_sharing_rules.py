"""Rules between the tables of accounts."""

import msgspec
import pytest

from gateway.settings.addresses import parse_server_url
from gateway.settings.file import KeyedValueError
from gateway.settings.schema import Config
from gateway.settings.security import AccountRules
from gateway.settings.sharing_rules import check_accounts
from gateway.settings.uplink import Uplink


def accounts(**tables: object) -> list[AccountRules]:
    return [msgspec.convert({"name": name, **table}, AccountRules) for name, table in tables.items()]  # type: ignore[dict-item]


PLANT = {
    "exports": [{"stream": "telemetry.>"}, {"service": "calc.*"}, {"stream": "to.*.>", "account-token-position": 2}]
}
CLOSED = {"exports": [{"stream": "telemetry.>", "accounts": ["office"]}]}


def office(**fields: object) -> dict[str, object]:
    return {"imports": [{"account": "plant"} | fields]}


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": "telemetry.>"},
        {"stream": "telemetry.x.*", "prefix": "plant"},
        {"stream": "telemetry.*.*", "to": "t.$2.$1"},
        {"stream": "telemetry.*.*", "to": "t.*.*"},
        {"stream": "telemetry.*.>", "to": "t.{{wildcard(1)}}.>"},
        {"service": "calc.add"},
        {"service": "calc.*", "to": "c.*"},
        {"stream": "to.office.>"},
    ],
)
def test_what_is_exported_can_be_imported(fields: dict[str, object]):
    check_accounts(accounts(plant=PLANT, office=office(**fields)))


@pytest.mark.parametrize(
    ("fields", "key", "complaint"),
    [
        ({"stream": "telemetry.>", "account": "none"}, "accounts[1].imports[0].account", "there is no account 'none'"),
        ({"stream": "telemetry.>", "account": "office"}, "accounts[1].imports[0].account", "from itself"),
        ({"stream": ">"}, "accounts[1].imports[0].stream", "'plant' does not export '>' to 'office'"),
        ({"service": "telemetry.x"}, "accounts[1].imports[0].service", "does not export"),
        ({"stream": "to.plant.>"}, "accounts[1].imports[0].stream", "does not export"),
        ({"stream": "to.*.>"}, "accounts[1].imports[0].stream", "does not export"),
        ({"stream": "telemetry.>", "prefix": "a.*"}, "accounts[1].imports[0].prefix", "without wildcards"),
        ({"stream": "telemetry.>", "prefix": "$SYS"}, "accounts[1].imports[0].prefix", "the gateway answers"),
        ({"stream": "telemetry.*.*", "to": "t.$1"}, "accounts[1].imports[0].to", "must name every wildcard"),
        ({"stream": "telemetry.*.*", "to": "t.$1.{{left(2,1)}}"}, "accounts[1].imports[0].to", "only $1"),
        ({"stream": "telemetry.>", "to": "t"}, "accounts[1].imports[0].to", "must end with >"),
        ({"service": "calc.add", "to": "$LEAFGATE.time"}, "accounts[1].imports[0].to", "the gateway answers"),
    ],
)
def test_what_cannot_be_imported(fields: dict[str, object], key: str, complaint: str):
    with pytest.raises(KeyedValueError) as raised:
        check_accounts(accounts(plant=PLANT, office=office(**fields)))
    assert raised.value.key == key
    assert complaint in str(raised.value)


def test_private_export_is_for_those_whom_it_names():
    check_accounts(accounts(plant=CLOSED, office=office(stream="telemetry.>")))
    with pytest.raises(KeyedValueError, match="does not export"):
        check_accounts(accounts(plant=CLOSED, office={}, third=office(stream="telemetry.>")))


@pytest.mark.parametrize(
    ("export", "complaint"),
    [
        ({"stream": "a", "accounts": ["none"]}, "there is no account"),
        ({"stream": "a.b", "account-token-position": 2}, "token 2"),
        ({"stream": "a", "account-token-position": 2}, "token 2"),
        ({"stream": "a", "latency": {"subject": "l"}}, "only a service"),
        ({"service": "$LEAFGATE.time"}, "the gateway answers"),
    ],
)
def test_what_cannot_be_exported(export: dict[str, object], complaint: str):
    with pytest.raises(KeyedValueError, match=complaint):
        check_accounts(accounts(plant={"exports": [export]}))


@pytest.mark.parametrize(
    ("mappings", "complaint"),
    [
        ({"a.*": "b.$2"}, "no number from 1 to 1"),
        ({"a": [{"to": "b", "weight": 60}, {"to": "c", "weight": 60}]}, "more than 100"),
        ({"a": [{"to": "b", "weight": 10}, {"to": "b", "weight": 10}]}, "twice"),
        ({"a": []}, "a destination"),
        ({"a..b": "c"}, "is no subject"),
    ],
)
def test_what_is_no_mapping(mappings: dict[str, object], complaint: str):
    with pytest.raises(KeyedValueError, match=complaint):
        check_accounts(accounts(plant={"mappings": mappings}))


def ring(kind: str, *names: str) -> list[AccountRules]:
    """Each takes from the one before it what that takes itself."""
    tables: dict[str, object] = {
        name: {"exports": [{kind: ">" if kind == "stream" else "a"}], "imports": [{"account": before, kind: "a"}]}
        for before, name in zip((names[-1], *names), names, strict=False)
    }
    return accounts(**tables)


@pytest.mark.parametrize("kind", ["stream", "service"])
@pytest.mark.parametrize("names", [("one", "two"), ("one", "two", "three")])
def test_imports_that_go_round_are_refused_and_named(kind: str, names: tuple[str, ...]):
    with pytest.raises(KeyedValueError, match="the imports form a cycle: ") as raised:
        check_accounts(ring(kind, *names))
    assert all(name in str(raised.value) for name in names)


def test_imports_in_both_directions_that_do_not_meet_are_none():
    check_accounts(
        accounts(
            one={"exports": [{"stream": "a.>"}], "imports": [{"account": "two", "stream": "b.>"}]},
            two={"exports": [{"stream": "b.>"}], "imports": [{"account": "one", "stream": "a.>"}]},
        )
    )


def test_many_ways_are_not_walked_one_by_one():
    """From each of 40 layers two ways lead on."""
    tables: dict[str, object] = {
        f"l{number}": {
            "exports": [{"stream": ">"}],
            "imports": [{"account": f"l{number - 1}", "stream": stream} for stream in (">", "a.>") if number],
        }
        for number in range(40)
    }
    check_accounts(accounts(**tables))


def test_two_accounts_of_one_name():
    with pytest.raises(KeyedValueError, match=r"accounts\[1\].name: plant is at accounts\[0\].name too"):
        check_accounts([AccountRules(name="plant"), AccountRules(name="plant")])


def test_uplinks_join_accounts_that_are_there_and_not_too_many():
    plant = AccountRules(name="plant", max_leafnodes=1)
    urls = (parse_server_url("nats-leaf://hub.example", {"nats-leaf": 7422}),)
    Config(accounts=(plant,), uplinks=(Uplink(urls=urls, account="plant"), Uplink(urls=urls)))
    with pytest.raises(KeyedValueError, match="there is no account 'none'"):
        Config(uplinks=(Uplink(urls=urls, account="none"),))
    with pytest.raises(KeyedValueError, match="max-leafnodes = 1"):
        Config(accounts=(plant,), uplinks=(Uplink(urls=urls, account="plant"),) * 2)
