"""Settings that change while somebody reads them."""

import msgspec
import pytest

from gateway.settings.limits import Limits, Timeouts
from gateway.settings.live import SECTIONS, Settings
from gateway.settings.mqtt import Mqtt
from gateway.settings.schema import Config

OTHERS = {
    "limits": Limits(max_payload_bytes=5),
    "timeouts": Timeouts(ping_max=3),
    "mqtt": Mqtt(max_inflight=7),
}


def replaced(*sections: str) -> Config:
    return msgspec.structs.replace(Config(), **{section: OTHERS[section] for section in sections})


def test_sections_are_those_of_the_configuration_in_force():
    settings = Settings(Config())
    assert (settings.limits, settings.timeouts, settings.mqtt) == (Limits(), Timeouts(), Mqtt())
    settings.replace(replaced(*SECTIONS))
    assert settings.config == replaced(*SECTIONS)
    assert {section: getattr(settings, section) for section in SECTIONS} == OTHERS


@pytest.mark.parametrize("section", SECTIONS)
def test_subscribers_of_a_section_are_told_of_it_and_of_no_other(section: str):
    settings = Settings(Config())
    told: list[str] = []
    for one in SECTIONS:
        settings.subscribe(one, lambda one=one: told.append(one))
    assert settings.replace(replaced(section)) == [section]
    assert told == [section]


def test_nobody_is_told_where_nothing_differs():
    settings = Settings(Config())
    told: list[str] = []
    for section in SECTIONS:
        settings.subscribe(section, lambda: told.append("changed"))
    assert settings.replace(Config(name="other")) == []
    assert told == []
    assert settings.config.name == "other"


def test_subscriber_of_several_sections_is_told_once_and_finds_all_of_them_in_force():
    settings = Settings(Config())
    found: list[tuple[Limits, Timeouts, Mqtt]] = []

    def changed() -> None:
        found.append((settings.limits, settings.timeouts, settings.mqtt))

    for section in SECTIONS:
        settings.subscribe(section, changed)
    assert settings.replace(replaced(*SECTIONS)) == list(SECTIONS)
    assert found == [(OTHERS["limits"], OTHERS["timeouts"], OTHERS["mqtt"])]


def test_section_that_does_not_exist_has_no_subscribers():
    with pytest.raises(KeyError):
        Settings(Config()).subscribe("listeners", lambda: None)
