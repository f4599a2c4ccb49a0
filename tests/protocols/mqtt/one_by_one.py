"""Events as if every packet had come alone: how many make a run depends on how the stream was cut."""

from collections.abc import Iterable

from protocols.mqtt.acknowledgements import AckRun
from protocols.mqtt.publish import PublishRun


def one_by_one(events: Iterable[object]) -> list[object]:
    single: list[object] = []
    for event in events:
        if isinstance(event, PublishRun):
            single += event.publishes()
        elif isinstance(event, AckRun):
            single += event.packets()
        else:
            single.append(event)
    return single
