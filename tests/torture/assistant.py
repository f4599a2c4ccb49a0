"""As Home Assistant listens for entities: `python assistant.py PORT FILE`. Connects anew as long as it lives, says each
time that it is born, and writes into the file what it hears: a line of JSON each, [] where a connection begins.
"""

import json
import sys
from typing import Any

import paho.mqtt.client as paho


def main(port: int, file: str) -> None:
    with open(file, "a") as heard:

        def write(what: list[str]) -> None:
            heard.write(json.dumps(what) + "\n")
            heard.flush()

        def connected(client: paho.Client, *_: Any) -> None:
            write([])
            client.subscribe("homeassistant/+/+/+/config", 1)
            client.publish("homeassistant/status", "online", 1)

        # Behind what was written by one that was killed.
        heard.write("\n")
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="homeassistant")
        client.on_connect = connected
        client.on_message = lambda _client, _data, message: write([message.topic, message.payload.decode()])
        client.reconnect_delay_set(1, 1)
        client.connect_timeout = 2
        client.connect_async("127.0.0.1", port, keepalive=2)
        client.loop_forever(retry_first_connection=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
