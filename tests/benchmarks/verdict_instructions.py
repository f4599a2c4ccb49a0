"""Instructions that a verdict costs, counted by valgrind: `python tests/benchmarks/verdict_instructions.py`.

Mixed messages go from a decoder through the router into a receiver's outbox, in this process, without sockets: from
somebody without rules, and from a user with rights. Counts do not depend on what else the machine does. The gateway
that is measured is the one installed for this interpreter; Debian's package valgrind must be there.
"""

import gc
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_MESSAGES = 4000
# Two passes teach the caches; the difference between two counts of passes is what is counted.
_PASSES = (4, 8)
_BATCH = 256
_PROTOCOLS = ("nats", "mqtt")


class _Sink:
    """Takes everything."""

    def send(self, data: bytes) -> int:
        return len(data)

    def send_pieces(self, pieces: list[bytes]) -> int:
        return sum(map(len, pieces))


def exchange(protocol: str, rights: bool, passes: int) -> None:
    """Publish and deliver all messages so many times."""
    from mixed_messages import ALL, mixed_messages

    from gateway.accounts.permissions import make_permissions
    from gateway.dataplane.nats_receivers import NatsSubscription
    from gateway.dataplane.outbox import Outbox, Switch
    from gateway.dataplane.port import Port
    from gateway.dataplane.router import Router
    from gateway.settings.security import PermissionRules, SubjectRule

    router, switch = Router(), Switch()
    sink: Any = _Sink()
    receiver, publisher = Port(Outbox(sink, switch, 1 << 30)), Port(None)
    router.subscribe(NatsSubscription(receiver, ALL.encode(), b"", b"1"))
    if rights:
        publish = SubjectRule(allow=("plant.>", "status.*"), deny=("plant.*.*.admin",))
        publisher.may_publish = make_permissions(PermissionRules(publish=publish)).publishing
    decoder = _decoder(protocol)
    messages = mixed_messages(_MESSAGES)
    publications = [_publication(protocol, one.subject, one.payload) for one in messages]
    batches = [b"".join(publications[at : at + _BATCH]) for at in range(0, len(publications), _BATCH)]
    gc.disable()  # When it collects depends on what else there is.
    for _ in range(passes):
        for batch in batches:
            events = decoder.receive(batch)
            index = 0
            while index < len(events):
                index = router.forward(events, index, publisher)
            switch.flush()


def _decoder(protocol: str) -> Any:
    if protocol == "nats":
        from protocols.nats.server import ServerDecoder

        return ServerDecoder(1 << 20, 4096)
    import mqtt_packets

    from protocols.mqtt.decoder import Decoder

    decoder = Decoder(1 << 20)
    decoder.receive(mqtt_packets.connect("bench"))
    return decoder


def _publication(protocol: str, subject: str, payload: bytes) -> bytes:
    if protocol == "nats":
        return b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload)
    import mqtt_packets

    return mqtt_packets.publish(subject.replace(".", "/"), payload)


def instructions(protocol: str, rights: bool, passes: int) -> int:
    """How many a process of its own takes for it."""
    with tempfile.TemporaryDirectory() as directory:
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out"]
        child = [sys.executable, "-X", "frozen_modules=on", __file__, protocol, str(int(rights)), str(passes)]
        # Where dictionaries put what is in them must not differ from run to run.
        done = subprocess.run(
            [*valgrind, *child], env={"PYTHONHASHSEED": "0"}, cwd=directory, capture_output=True, text=True, check=True
        )
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found is not None, done.stderr[-400:]
    return int(found[1])


def main() -> None:
    print("| instructions for a mixed message, decoded, routed, delivered | without rules | with rights | more |")
    print("|---|---:|---:|---:|")
    for protocol in _PROTOCOLS:
        free, judged = (
            (instructions(protocol, rights, _PASSES[1]) - instructions(protocol, rights, _PASSES[0]))
            / (_MESSAGES * (_PASSES[1] - _PASSES[0]))
            for rights in (False, True)
        )
        print(f"| {protocol.upper()} | {free:,.0f} | {judged:,.0f} | {judged / free - 1:+.1%} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.path.insert(0, str(Path(__file__).parent))
        exchange(sys.argv[1], sys.argv[2] == "1", int(sys.argv[3]))
    else:
        main()
