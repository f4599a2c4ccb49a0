"""A name of the other protocol gets a hint, one of this protocol none."""

import pytest

from gateway.command.name_hints import hint_for


@pytest.mark.parametrize(
    ("name", "in_mqtt", "to_publish", "part"),
    [
        (b"home/kitchen/temp", False, True, "the subject home.kitchen.temp"),
        (b"home/+/temp", False, False, "the subject home.*.temp"),
        (b"home/#", False, False, "the subject home.>"),
        (b"home.#", False, False, "the subject home.>"),
        (b"home.*", False, True, "wildcards for subscriptions"),
        (b"home.kitchen", True, True, "home/kitchen"),
        (b"home.*.>", True, False, "home/+/#"),
    ],
)
def test_likely_mistake_is_hinted_at(name, in_mqtt, to_publish, part):
    assert part in hint_for(name, in_mqtt=in_mqtt, to_publish=to_publish)


@pytest.mark.parametrize(
    ("name", "in_mqtt", "to_publish"),
    [
        (b"home.kitchen", False, True),
        (b"home.*.>", False, False),
        (b"a+b.c#", False, True),
        (b"home/+/#", True, False),
        (b"home", True, True),
        (b"v1.0/home", True, True),
    ],
)
def test_right_name_gets_no_hint(name, in_mqtt, to_publish):
    assert hint_for(name, in_mqtt=in_mqtt, to_publish=to_publish) == ""
