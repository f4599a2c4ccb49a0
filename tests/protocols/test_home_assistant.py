"""Home Assistant's rules for discovery, as its own pages say them."""

import pytest

from protocols.home_assistant import COMPONENTS, complaint, discovery_topic, value_template

# The least that each kind of entity needs: state, command, and what else.
LEAST: dict[str, tuple[bool, bool, dict[str, object]]] = {
    "sensor": (True, False, {}),
    "binary_sensor": (True, False, {}),
    "switch": (False, True, {}),
    "button": (False, True, {}),
    "number": (False, True, {}),
    "select": (False, True, {"options": ("a", "b")}),
    "text": (False, True, {}),
    "light": (False, True, {}),
    "lock": (False, True, {}),
    "cover": (False, True, {}),
    "fan": (False, True, {}),
    "siren": (False, True, {}),
    "scene": (False, True, {}),
    "event": (True, False, {"event_types": ("press",)}),
    "notify": (False, True, {}),
}


@pytest.mark.parametrize("component", COMPONENTS)
def test_entity_with_the_least_is_taken_and_one_with_nothing_is_not(component: str) -> None:
    assert complaint(component, *LEAST[component]) == ""
    assert complaint(component, False, False, {}) != ""


@pytest.mark.parametrize(
    ("component", "state", "command", "fields", "said"),
    [
        ("sensor", True, True, {}, "a sensor has no command"),
        ("button", True, True, {}, "a button has no state"),
        ("switch", True, False, {}, "a switch needs command"),
        ("select", True, True, {}, "a select needs options"),
        ("sensor", True, False, {"payload_on": "x"}, "a sensor has no payload_on; there are "),
        ("sensor", True, False, {"state_class": "gauge"}, "state_class is one of measurement"),
        ("sensor", True, False, {"state_class": "total", "options": ("a",)}, "with options has no state_class"),
        ("sensor", True, False, {"entity_category": "config"}, "cannot have the category config"),
        ("switch", True, True, {"entity_category": "other"}, "entity_category is one of config, diagnostic"),
        ("number", True, True, {"min": 5, "max": 5}, "min is not below max"),
        ("sensor", True, False, {"expire_after": -1}, "expire_after is a number of seconds"),
        ("sensor", True, False, {"expire_after": True}, "expire_after is a number of seconds"),
        ("sensor", True, False, {"qos": 3}, "qos is 0, 1 or 2"),
    ],
)
def test_what_would_be_refused_is_said(
    component: str, state: bool, command: bool, fields: dict[str, object], said: str
) -> None:
    assert said in complaint(component, state, command, fields)


def test_topic_and_template_are_as_home_assistant_reads_them() -> None:
    assert discovery_topic("homeassistant", "sensor", "shed", "t") == "homeassistant/sensor/shed/t/config"
    assert value_template(("sensor", "values", 0)) == "{{ value_json['sensor']['values'][0] }}"
