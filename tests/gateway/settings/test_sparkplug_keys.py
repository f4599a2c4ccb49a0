"""The keys of both ends of Sparkplug: what is refused, and with which words."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.settings.schema import load_config

NODE = '[[sparkplug-node]]\nname = "n"\ngroup = "G"\nnode = "E"\n'
METRIC = '[[sparkplug-node.metrics]]\nsubject = "plant.*.>"\n'
HOST = '[[sparkplug-host]]\nname = "h"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NODE + "metrics = []\n", "sparkplug-node[0].metrics: an edge node has 1 to 1000 entries"),
        (NODE.replace('"G"', '"G/1"') + METRIC, "sparkplug-node[0].group: 'G/1' has a character that no name has"),
        (NODE + 'primary-host = "+"\n' + METRIC, "sparkplug-node[0].primary-host: '+' has a character"),
        (NODE + 'subjects = ["a"]\n' + METRIC, "sparkplug-node[0].subjects: the entries of metrics say"),
        (NODE + METRIC + 'type = "Int7"\n', "sparkplug-node[0].metrics[0].type: 'Int7' is none of auto, Int8"),
        (NODE + METRIC + 'device = "{{x}}"\n', "sparkplug-node[0].metrics[0].device: {{x}} is none of"),
        (NODE + METRIC + 'device = "{{field}}"\n', "sparkplug-node[0].metrics[0].device: {{field}} is none of"),
        (
            NODE + METRIC + METRIC.replace("plant.*.>", "*.pump.a"),
            "sparkplug-node[0].metrics: *.pump.a and plant.*.> overlap",
        ),
        (NODE + 'user = "u"\n' + METRIC, "sparkplug-node[0].user: it is for a broker at a url"),
        (NODE + 'url = "ws://h"\n' + METRIC, "sparkplug-node[0].url: write it as mqtt://"),
        (NODE + 'url = "mqtt://h"\npassword = "x"\n' + METRIC, "sparkplug-node[0].user: a password needs a user"),
        (NODE + 'url = "mqtt://h"\ntls = {}\n' + METRIC, "sparkplug-node[0].tls: the URL is not mqtts://"),
        (HOST + 'stream = "S"\n', "sparkplug-host[0].stream: a host takes what edge nodes say"),
        (HOST + 'prefix = "$SYS"\n', "sparkplug-host[0].prefix: '$SYS' is no subject"),
        (HOST + 'groups = ["a/b"]\n', "sparkplug-host[0].groups[0]: 'a/b' has a character"),
        (HOST + HOST, "sparkplug-host[1].name"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "leafgate.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert words in str(caught.value)


def test_filters_within_others_are_subscribed_to_once(tmp_path: Path) -> None:
    file = tmp_path / "leafgate.toml"
    file.write_text(NODE + METRIC.replace("plant.*.>", "plant.pump.rpm") + METRIC)
    (node,) = load_config(file).sparkplug_node
    assert node.taken == ("plant.*.>",)
