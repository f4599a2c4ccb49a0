"""What is said of a rule that cannot be."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings.schema import load_config

RULE = '[[rules]]\nname = "one"\nfrom = "raw.*"\nto = "made.$1"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('payload = "1 +"', "rules[0].payload: '1 +': a value is missing at character 4"),
        ('fields = { a = "$2" }', "rules[0].fields.a: '$2': $2: the filter has 1 wildcards"),
        ('fields = { a = "" }', "rules[0].fields.a: '': a value is missing"),
        ('payload = "a"\nfields = { a = "a" }', "rules[0].fields: a message becomes either one value"),
        ("window-seconds = 5", "rules[0].aggregate: window-seconds says how long"),
        ('aggregate = "mean"', "rules[0].window-seconds: window-seconds says how long"),
        ('window-seconds = 5\naggregate = ["min", "min"]', "rules[0].aggregate: one of them stands there twice"),
        ('window-seconds = 5\naggregate = "median"', "rules[0].aggregate"),
        ("repeat-seconds = 5", "rules[0].repeat-seconds: it is for what a deadband holds back"),
        ('account = "x"', "rules[0].account: there is no account 'x'"),
        ("throtle-seconds = 1", "rules[0].throtle-seconds: unknown key; did you mean throttle-seconds?"),
        (RULE, "rules[1].name: one is at rules[0].name too"),
    ],
)
def test_fault_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "leafgate.toml"
    path.write_text(f"{RULE}{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("raw..x", "made", "rules[0].from: 'raw..x' is no subject"),
        ("raw.*", "made.*", "rules[0].to"),
        ("raw.>", "made", "rules[0].to: 'made' must end with >"),
        ("$SYS.>", "made.>", "rules[0].from: '$SYS.>' is the servers' own"),
        ("raw", "_INBOX.x", "rules[0].to: '_INBOX.x' is the servers' own"),
        ("raw", "$JS.API", "rules[0].to"),
    ],
)
def test_subjects_are_held_to_what_clients_may_have(tmp_path: Path, source: str, target: str, said: str) -> None:
    path = tmp_path / "leafgate.toml"
    path.write_text(f'[[rules]]\nname = "one"\nfrom = "{source}"\nto = "{target}"\n')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert said in str(caught.value)


def test_wildcard_may_lead(tmp_path: Path) -> None:
    path = tmp_path / "leafgate.toml"
    path.write_text('[[rules]]\nname = "one"\nfrom = "*.raw"\nto = "$1.made"\n')
    assert load_config(path).rules[0].target == "$1.made"
