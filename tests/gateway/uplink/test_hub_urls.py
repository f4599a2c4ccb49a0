import pytest

from gateway.settings.addresses import parse_server_url
from gateway.settings.uplink import UPLINK_PORTS, Uplink
from gateway.uplink.hub_urls import MAX_LEARNED_URLS, HubUrls, leafnode_path


def urls(*texts: str, **keys: object) -> HubUrls:
    parsed = tuple(parse_server_url(text, UPLINK_PORTS) for text in texts)
    return HubUrls(Uplink(urls=parsed, **keys))  # type: ignore[arg-type]


def taken(hub: HubUrls, count: int) -> list[str]:
    return [str(hub.take()) for _ in range(count)]


def test_urls_are_tried_one_after_the_other_in_their_order():
    hub = urls("nats-leaf://a", "tls://b:1", no_randomize=True)
    assert taken(hub, 3) == ["nats-leaf://a:7422", "tls://b:1", "nats-leaf://a:7422"]


def test_each_gateway_has_an_order_of_its_own_and_leaves_none_out():
    given = [f"nats-leaf://h{number}:7422" for number in range(8)]
    orders = {tuple(taken(urls(*given), 8)) for _ in range(20)}
    assert len(orders) > 1
    assert all(sorted(order) == given for order in orders)


def test_what_the_cluster_tells_is_tried_behind_what_is_configured_with_the_same_login():
    hub = urls("nats-leaf://edge:pw@a", no_randomize=True)
    hub.take()
    hub.learn(("10.0.0.2:7422", "nats-leaf://10.0.0.3:7000", "a:7422", "10.0.0.2:7422", "no address:x"))
    assert taken(hub, 3) == ["nats-leaf://a:7422", "nats-leaf://10.0.0.2:7422", "nats-leaf://10.0.0.3:7000"]
    assert (hub.current.user, hub.current.password) == ("edge", "pw")
    assert hub.certified_host() == "a"


def test_a_cluster_that_tells_another_list_is_believed_and_silence_changes_nothing():
    hub = urls("nats-leaf://a", no_randomize=True)
    hub.learn(("b:1",))
    hub.learn(())
    hub.learn(("c:1",))
    assert taken(hub, 2) == ["nats-leaf://a:7422", "nats-leaf://c:1"]


def test_what_is_learned_is_bounded_and_may_be_left_alone():
    many = tuple(f"10.0.{number >> 8}.{number & 255}:1" for number in range(1000))
    hub = urls("nats-leaf://a", no_randomize=True)
    hub.learn(many)
    assert len(set(taken(hub, 2000))) == MAX_LEARNED_URLS + 1
    hub = urls("nats-leaf://a", ignore_discovered_servers=True)
    hub.learn(many)
    assert set(taken(hub, 10)) == {"nats-leaf://a:7422"}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("wss://h", "/leafnode"),
        ("wss://h/nats", "/nats/leafnode"),
        ("wss://h/nats/leafnode", "/nats/leafnode"),
    ],
)
def test_leafnodes_have_a_path_of_their_own(url: str, path: str):
    assert leafnode_path(parse_server_url(url, UPLINK_PORTS)) == path
