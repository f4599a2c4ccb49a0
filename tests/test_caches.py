"""Every cache is bounded in bytes, whoever fills it."""

import gc
import importlib
import pkgutil

import gateway
import protocols
from gateway.dataplane.port import Port
from gateway.dataplane.router import Router
from protocols.cache import GenerationCache
from protocols.message import make_message
from protocols.nats.client import ClientDecoder
from protocols.nats.server import ServerDecoder
from tests.test_architecture import REPOSITORY, imports, sources

LONG = 60_000
MOST_BYTES = 1 << 25
# What remembers results for ever, whatever their number or size.
UNBOUNDED = {"cache", "cached_property", "lru_cache"}


class Value(bytes):
    """What any of the caches can weigh."""

    size = 1


def caches() -> list[GenerationCache]:
    for package in (protocols, gateway):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return [one for one in gc.get_objects() if type(one) is GenerationCache]


def size_of_keys(cache: GenerationCache) -> int:
    return sum(map(len, cache.keys()))


def test_no_cache_grows_with_the_size_of_its_keys():
    kept = Router(), ClientDecoder(1000), ServerDecoder(1000, 20)
    found = caches()
    assert len(found) >= len(kept) + 3
    for cache in found:
        before = dict(cache.young)
        for number in range(2000):
            key = b"%d" % number + bytes(LONG)
            for _ in range(2):
                if cache.is_familiar(key):
                    cache.remember(key, Value(key))
        assert size_of_keys(cache) <= 2 * cache.limit_bytes <= MOST_BYTES
        cache.clear()
        for key, value in before.items():
            cache.remember(key, value)


def test_router_forgets_long_subjects():
    known = {id(one) for one in gc.get_objects() if type(one) is GenerationCache}
    router, port = Router(), Port(None)
    (cache,) = (one for one in gc.get_objects() if type(one) is GenerationCache and id(one) not in known)
    for number in range(2000):
        message = make_message(b"t.%d." % number + b"x" * LONG, b"")
        for _ in range(2):
            router.publish(message, port)
    assert size_of_keys(cache) < MOST_BYTES


def test_nothing_else_remembers_results():
    users = [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for room in ("gateway", "protocols")
        for path in sources(room)
        for name in imports(path.read_text())
        if name.startswith("functools.") and name.partition(".")[2] in UNBOUNDED
    ]
    assert users == []
    assert set(imports("from functools import lru_cache")) == {"functools", "functools.lru_cache"}
