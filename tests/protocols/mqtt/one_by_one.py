"""Events as if every packet had come alone and was read in full: how the stream was cut decides how many make one."""

from collections.abc import Iterable

from protocols.message import RETAIN_HEADER, Burst, Message
from protocols.mqtt.acknowledgements import AckRun
from protocols.mqtt.packets import Pingreq
from protocols.mqtt.publish import Publish, PublishRun
from protocols.topic_mapping import subject_to_topic


def one_by_one(events: Iterable[object]) -> list[object]:
    single: list[object] = []
    for event in events:
        if isinstance(event, Message):
            single.append(publish_of(event))
        elif isinstance(event, Burst):
            single += map(publish_of, event.messages())
        elif isinstance(event, PublishRun):
            assert {message.qos for message in event.messages} == {event.qos}
            retained = [message for message in event.messages if message.is_retained()]
            assert event.retained == len(retained)
            assert event.retained_bytes == sum(len(message.subject) + message.size for message in retained)
            single += [publish_of(*one) for one in zip(event.messages, event.packet_ids, strict=True)]
        elif isinstance(event, AckRun):
            single += event.packets()
        elif isinstance(event, Pingreq):
            single += [Pingreq()] * event.count
        else:
            single.append(event)
    return single


def publish_of(message: Message, packet_id: int = 0) -> Publish:
    """The packet that a message came in as."""
    publish = Publish()
    publish.topic = subject_to_topic(message.subject)
    publish.payload = message.payload()
    publish.qos = message.qos
    publish.packet_id = packet_id
    publish.retain = message.is_retained()
    assert message.header() == (RETAIN_HEADER if publish.retain else b"")
    publish.dup = False
    publish.properties = None
    return publish
