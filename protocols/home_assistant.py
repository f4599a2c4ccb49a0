"""Home Assistant's MQTT discovery: the topics and payloads by which it learns of entities, and its rules for them.

By https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery and the page of each component there: which topics an
entity must have, which fields it may have, and that the object of a device has an identifier. Names of fields are given
in full; the short forms that Home Assistant takes too mean the same.
"""

from collections.abc import Mapping
from typing import NamedTuple

CLASS_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
STATE_CLASSES = ("measurement", "measurement_angle", "total", "total_increasing")
ENTITY_CATEGORIES = ("config", "diagnostic")
BORN = b"online"


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What entities of all kinds may have beside topics and names.
COMMON = names(
    "enabled_by_default encoding entity_category entity_picture icon json_attributes_template "
    "json_attributes_topic default_entity_id object_id qos"
)
COMMANDED = names("command_template optimistic retain")
ON_OFF = names("payload_on payload_off state_on state_off")


class Component(NamedTuple):
    """What a kind of entity has: `state` and `command` say whether their topics must be there, may be, or must not."""

    state: bool | None
    command: bool | None
    fields: frozenset[str] = frozenset()
    needed: tuple[str, ...] = ()


MUST, MAY, NEVER = True, None, False
COMPONENTS: dict[str, Component] = {
    "sensor": Component(
        MUST,
        NEVER,
        names("expire_after force_update last_reset_value_template options state_class suggested_display_precision"),
    ),
    "binary_sensor": Component(MUST, NEVER, names("expire_after force_update off_delay payload_on payload_off")),
    "switch": Component(MAY, MUST, COMMANDED | ON_OFF),
    "button": Component(NEVER, MUST, names("command_template payload_press retain")),
    "number": Component(MAY, MUST, COMMANDED | names("max min mode payload_reset step")),
    "select": Component(MAY, MUST, COMMANDED | {"options"}, ("options",)),
    "text": Component(MAY, MUST, COMMANDED | names("max min mode pattern")),
    "light": Component(
        MAY,
        MUST,
        (COMMANDED - {"command_template"})
        | names(
            "payload_on payload_off brightness brightness_command_topic brightness_scale "
            "brightness_state_topic effect effect_list on_command_type rgb_command_topic rgb_state_topic "
            "schema state_value_template supported_color_modes"
        ),
    ),
    "lock": Component(
        MAY,
        MUST,
        COMMANDED
        | names(
            "code_format payload_lock payload_open payload_reset payload_unlock state_jammed state_locked "
            "state_locking state_open state_opening state_unlocked state_unlocking"
        ),
    ),
    "cover": Component(
        MAY,
        MAY,
        (COMMANDED - {"command_template"})
        | names(
            "payload_close payload_open payload_stop position_closed position_open position_template "
            "position_topic set_position_template set_position_topic state_closed state_closing state_open "
            "state_opening state_stopped"
        ),
    ),
    "fan": Component(
        MAY,
        MUST,
        COMMANDED
        | names(
            "payload_on payload_off percentage_command_template percentage_command_topic "
            "percentage_state_topic percentage_value_template preset_mode_command_topic "
            "preset_mode_state_topic preset_modes speed_range_max speed_range_min state_value_template"
        ),
    ),
    "siren": Component(MAY, MUST, COMMANDED | ON_OFF | names("available_tones support_duration support_volume_set")),
    "scene": Component(NEVER, MUST, frozenset(("payload_on", "retain"))),
    "event": Component(MUST, NEVER, frozenset(("event_types",)), ("event_types",)),
    "notify": Component(NEVER, MUST, frozenset(("command_template", "retain"))),
}
# Those that have a class; and a unit.
WITH_CLASS = frozenset(("sensor", "binary_sensor", "switch", "button", "number", "cover", "event"))
WITH_UNIT = frozenset(("sensor", "number"))
# Those whose state has a template of another name.
STATE_TEMPLATES = {"light": "state_value_template", "fan": "state_value_template"}


def discovery_topic(prefix: str, component: str, node: str, entity: str) -> str:
    return f"{prefix}/{component}/{node}/{entity}/config"


def complaint(component: str, has_state: bool, has_command: bool, fields: Mapping[str, object]) -> str:
    """What Home Assistant would refuse, in a sentence; "" where it takes the entity. `fields` stand beside topics."""
    kind = COMPONENTS[component]
    for what, wanted, there in (("state", kind.state, has_state), ("command", kind.command, has_command)):
        if wanted is MUST and not there:
            return f"a {component} needs {what}, the subject of its {what}"
        if wanted is NEVER and there:
            return f"a {component} has no {what}"
    if component == "cover" and not (has_state or has_command):
        return "a cover needs state or command"
    for name in kind.needed:
        if not fields.get(name):
            return f"a {component} needs {name}"
    known = COMMON | kind.fields
    for name in fields:
        if name not in known:
            return f"a {component} has no {name}; there are {', '.join(sorted(known))}"
    return _fault_in(component, fields)


def _fault_in(component: str, fields: Mapping[str, object]) -> str:
    category = fields.get("entity_category")
    if category is not None and category not in ENTITY_CATEGORIES:
        return f"entity_category is one of {', '.join(ENTITY_CATEGORIES)}"
    if category == "config" and component in ("sensor", "binary_sensor"):
        return f"a {component} cannot have the category config"
    state_class = fields.get("state_class")
    if state_class is not None and state_class not in STATE_CLASSES:
        return f"state_class is one of {', '.join(STATE_CLASSES)}"
    if component == "sensor" and "options" in fields and state_class is not None:
        return "a sensor with options has no state_class"
    least, most = fields.get("min"), fields.get("max")
    if isinstance(least, int | float) and isinstance(most, int | float) and least >= most:
        return "min is not below max"
    for name in ("expire_after", "off_delay"):
        value = fields.get(name)
        if value is not None and (type(value) is not int or value < 0):
            return f"{name} is a number of seconds"
    if fields.get("qos") not in (None, 0, 1, 2):
        return "qos is 0, 1 or 2"
    return ""


def value_template(path: tuple[str | int, ...]) -> str:
    """What reads a field of a JSON payload. Names stand between brackets: as attributes they might be a dict's own."""
    steps = "".join([f"[{step}]" if isinstance(step, int) else "['" + step + "']" for step in path])
    return "{{ value_json" + steps + " }}"
