"""The link on a simulated line: what goes in comes out, whole and in order, whatever the line does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.serial_link.link import BaudChange, Ended, LinkSettings, Opened, Silent
from tests.protocols.serial_link.simulator import Faults, World

SIZE = 60_000


def noise(world: World, size: int = SIZE) -> bytes:
    return world.random.randbytes(size)


def exchange(world: World, size: int = SIZE, both: bool = True) -> tuple[bytes, bytes]:
    """Send random bytes, both ways or to the gateway only, and wait until they are there."""
    up, down = noise(world, size), noise(world, size) if both else b""
    world.open()
    world.device.outgoing, world.gateway.outgoing = up, down
    world.run_until(lambda: len(world.gateway.streams[-1]) >= len(up) and len(world.device.streams[-1]) >= len(down))
    return up, down


FAULTS = {
    "clean": Faults(),
    "bit errors 1e-5": Faults(bit_error_rate=1e-5),
    "bit errors 1e-4": Faults(bit_error_rate=1e-4),
    "bit errors 5e-4": Faults(bit_error_rate=5e-4),
    "dropped bytes": Faults(drop_rate=0.05),
    "bursts": Faults(burst_rate=0.05, burst_bytes=40),
    "slow adapter": Faults(latency=0.016),
    "everything": Faults(bit_error_rate=1e-4, drop_rate=0.02, burst_rate=0.02, latency=0.005),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_everything_arrives_once_and_in_order_in_both_directions(faults, seed):
    world = World(seed=seed, faults=faults)
    up, down = exchange(world)
    assert world.gateway.streams == [bytearray(up)]
    assert world.device.streams == [bytearray(down)]


@given(
    seed=st.integers(0, 2**32),
    baud=st.sampled_from([9600, 115_200, 921_600]),
    errors=st.sampled_from([0.0, 1e-5, 1e-4, 3e-4]),
    drops=st.sampled_from([0.0, 0.02]),
    bursts=st.sampled_from([0.0, 0.02]),
    latency=st.sampled_from([0.0, 0.001, 0.020]),
    mtu=st.sampled_from([16, 64, 256, 512]),
    receive_buffer=st.sampled_from([64, 192, 1024, 16_320]),
    line_buffer=st.sampled_from([64, 256, 8192]),
    console=st.booleans(),
    size=st.integers(0, 5000),
)
@settings(max_examples=60)
def test_any_line_and_any_offer_of_the_device_lose_nothing(
    seed, baud, errors, drops, bursts, latency, mtu, receive_buffer, line_buffer, console, size
):
    world = World(
        seed,
        baud,
        Faults(errors, drops, bursts, latency=latency),
        device_settings=LinkSettings("node", mtu, receive_buffer, line_buffer, console=console),
    )
    up, down = exchange(world, size)
    assert (world.gateway.streams, world.device.streams) == ([bytearray(up)], [bytearray(down)])


EFFICIENCY = [
    # mtu, faults, both directions, least share of the line's capacity that is payload
    (256, Faults(), False, 0.95),
    (512, Faults(), False, 0.965),
    (256, Faults(bit_error_rate=1e-5), False, 0.92),
    (512, Faults(bit_error_rate=1e-5), False, 0.91),
    (256, Faults(), True, 0.93),
    (256, Faults(bit_error_rate=1e-4), False, 0.60),
    (256, Faults(latency=0.016), False, 0.94),
    (64, Faults(), False, 0.86),
]


@pytest.mark.parametrize(("mtu", "faults", "both", "least"), EFFICIENCY)
def test_payload_fills_the_line(mtu, faults, both, least):
    device = LinkSettings("node", mtu, 16_320, 16_384)
    world = World(1, 921_600, faults, gateway_settings=LinkSettings(mtu=mtu), device_settings=device)
    world.open()
    began = world.now
    exchange(world, 400_000, both)
    assert 400_000 * 10 / 921_600 / (world.now - began) >= least


def test_slow_reader_holds_the_sender_back_and_loses_nothing():
    world = World(faults=Faults(bit_error_rate=1e-5))
    reading = [False]
    world.device.reads_at = lambda: reading[0]
    world.open()
    data = world.gateway.outgoing = noise(world)
    world.run_for(20.0)
    assert 0 < len(world.device.streams[0]) <= world.device_settings.receive_buffer
    assert world.gateway.link.up
    reading[0] = True
    world.run_until(lambda: len(world.device.streams[0]) == len(data))
    assert world.device.streams == [bytearray(data)]


@pytest.mark.parametrize("seconds", [0.05, 1.0, 2.9, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_cable_pull_loses_nothing(seed, seconds):
    world = World(seed, faults=Faults(bit_error_rate=1e-5))
    world.open()
    up, down = noise(world), noise(world)
    world.device.outgoing, world.gateway.outgoing = up, down
    for _ in range(3):
        world.run_for(0.1)
        world.faults.cut = True
        world.run_for(seconds)
        world.faults.cut = False
        world.gateway.replug()
    world.run_until(lambda: len(world.gateway.streams[-1]) >= SIZE and len(world.device.streams[-1]) >= SIZE)
    assert (world.gateway.streams, world.device.streams) == ([bytearray(up)], [bytearray(down)])
    assert not any(isinstance(event, Ended) for event in world.gateway.log + world.device.log)


def test_silence_is_told_and_so_is_the_return():
    world = World()
    world.open()
    world.faults.cut = True
    world.run_for(5.0)
    world.faults.cut = False
    world.run_for(2.0)
    for end in (world.gateway, world.device):
        assert [type(event) for event in end.log] == [Opened, Silent, Opened]
        assert [event.resumed for event in end.log if isinstance(event, Opened)] == [False, True]


@pytest.mark.parametrize("who", ["device", "gateway"])
@pytest.mark.parametrize("pause", [0.0, 0.5, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_reset_of_one_end_begins_a_new_session_at_both(who, pause, seed):
    world = World(seed, faults=Faults(bit_error_rate=1e-5))
    world.open()
    end = getattr(world, who)
    other = end.other
    world.device.outgoing, world.gateway.outgoing = noise(world), noise(world)
    world.run_for(0.2)
    old = bytes(other.streams[0]), bytes(end.streams[0])
    world.faults.cut = True
    world.run_for(pause)
    world.faults.cut = False
    end.power_up()
    world.device.outgoing = world.gateway.outgoing = b""
    world.run_until(lambda: any(isinstance(event, Ended) for event in other.log))
    world.run_until(lambda: world.gateway.link.up and world.device.link.up)
    world.device.outgoing, world.gateway.outgoing = b"device's", b"gateway's"
    world.run_for(1.0)
    assert world.gateway.streams[-1] == b"device's"
    assert world.device.streams[-1] == b"gateway's"
    assert bytes(other.streams[0]).startswith(old[0])
    assert len(other.streams) == 2


@given(seed=st.integers(0, 2**32), steps=st.lists(st.sampled_from(["device", "gateway", "cut", "pass"]), max_size=8))
@settings(max_examples=40)
def test_any_series_of_resets_and_pulls_ends_in_a_session_that_works(seed, steps):
    world = World(seed, faults=Faults(bit_error_rate=1e-4))
    for step in steps:
        if step in ("device", "gateway"):
            getattr(world, step).power_up()
        world.faults.cut = step == "cut"
        world.device.outgoing = world.gateway.outgoing = noise(world, 300)
        world.run_for(world.random.choice([0.0, 0.01, 0.3, 4.0]))
    world.faults.cut = False
    world.device.outgoing = world.gateway.outgoing = b""
    world.run_for(5.0)
    world.open()
    before = len(world.gateway.streams[-1]), len(world.device.streams[-1])
    world.device.outgoing, world.gateway.outgoing = b"from the device", b"from the gateway"
    world.run_for(2.0)
    assert world.gateway.streams[-1][before[0] :] == b"from the device"
    assert world.device.streams[-1][before[1] :] == b"from the gateway"


def test_finish_delivers_everything_first():
    world = World(faults=Faults(bit_error_rate=1e-4))
    world.open()
    data = world.gateway.outgoing = noise(world)
    world.run_until(lambda: not world.gateway.outgoing)
    world.gateway.link.finish()
    world.run_until(lambda: any(isinstance(event, Ended) for event in world.gateway.log))
    assert world.device.streams[0] == data


def changing(**settings: bool) -> World:
    return World(
        baud=115_200,
        gateway_settings=LinkSettings(changes_baud=True),
        device_settings=LinkSettings("node", changes_baud=settings.get("able", True)),
    )


def test_both_ends_change_to_a_higher_rate():
    world = changing()
    world.open()
    world.gateway.link.change_baud(921_600, world.now)
    world.run_for(1.0)
    assert (world.gateway.line_baud, world.device.line_baud) == (921_600, 921_600)
    up, down = exchange(world)
    assert (world.gateway.streams, world.device.streams) == ([bytearray(up)], [bytearray(down)])


def test_a_device_that_cannot_change_is_not_asked():
    world = changing(able=False)
    world.open()
    world.gateway.link.change_baud(921_600, world.now)
    exchange(world)
    assert (world.gateway.line_baud, world.device.line_baud) == (115_200, 115_200)


@pytest.mark.parametrize("who", ["device", "gateway"])
def test_end_that_restarts_after_a_farewell_at_a_higher_rate_is_found_at_the_first(who):
    world = changing()
    world.open()
    world.gateway.link.change_baud(921_600, world.now)
    world.run_for(1.0)
    end = getattr(world, who)
    end.link.abandon()
    end.poll()
    world.run_until(lambda: any(isinstance(event, Ended) for event in end.other.log))
    end.power_up()
    world.run_for(5.0)
    up, down = exchange(world)
    assert (world.gateway.streams[-1], world.device.streams[-1]) == (up, down)


def test_both_ends_fall_back_from_a_rate_that_does_not_work():
    world = changing()
    world.open()
    world.gateway.link.change_baud(921_600, world.now)
    world.run_until(lambda: world.gateway.line_baud == 921_600)
    world.faults.cut = True
    world.run_for(0.8)
    world.faults.cut = False
    world.run_for(4.0)
    assert (world.gateway.line_baud, world.device.line_baud) == (115_200, 115_200)
    assert BaudChange(115_200) in world.gateway.log
    up, down = exchange(world)
    assert (world.gateway.streams, world.device.streams) == ([bytearray(up)], [bytearray(down)])
