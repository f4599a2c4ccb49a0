"""What MQTT clients did is counted once, whoever serves their session next."""

from gateway.settings.security import AccountRules
from protocols.close_reason import CloseReason
from protocols.mqtt import packets
from protocols.mqtt.reason_codes import ReasonCode
from tests.gateway.accounts.site import site


async def test_session_that_is_taken_up_again_begins_to_count_anew():
    async with site(AccountRules(name="plant")) as house:
        for taken_over in (False, True):
            first = house.mqtt("plant", b"meter", expiry=100)
            first.publish(b"a", b"12345")
            first.publish(b"a", b"12345")
            if not taken_over:
                first.leave()
            second = house.mqtt("plant", b"meter", expiry=100)
            second.publish(b"a", b"12345")
            second.leave()
            first.leave()
        totals = await house.gateway.registry.census.take()
        did = totals.by_key[("plant", "mqtt")]
        assert (did.open, did.in_msgs, did.in_bytes) == (0, 6, 30)


async def test_kicked_client_hears_that_somebody_wanted_it():
    async with site(AccountRules(name="plant")) as house:
        client = house.mqtt("plant", b"meter")
        client.packets()
        client.connection.close(CloseReason.KICKED, "as the system account asked")
        (said,) = client.packets()
        assert isinstance(said, packets.Disconnect)
        assert said.reason_code == ReasonCode.ADMINISTRATIVE_ACTION
