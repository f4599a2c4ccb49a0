from hypothesis import given
from hypothesis import strategies as st

from protocols.cache import GenerationCache


def look_up(cache: GenerationCache, key: object) -> object:
    """As hot code does it."""
    found = cache.young.get(key)
    return cache.recall(key) if found is None else found


def test_value_is_found_until_two_generations_have_passed():
    cache = GenerationCache(2)
    cache.remember("a", 1)
    assert look_up(cache, "a") == 1
    for key in "bcde":
        cache.remember(key, key)
    assert look_up(cache, "a") is None


def test_value_that_is_used_stays():
    cache = GenerationCache(2)
    cache.remember("a", 1)
    for number in range(100):
        cache.remember(number, number)
        assert look_up(cache, "a") == 1


def test_young_stays_the_same_dictionary():
    cache = GenerationCache(2)
    young = cache.young
    for number in range(10):
        cache.remember(number, number)
    cache.clear()
    cache.remember("a", 1)
    assert cache.young is young
    assert young == {"a": 1}


def test_forgotten_key_is_gone_from_both_generations():
    cache = GenerationCache(2)
    for key in "abc":
        cache.remember(key, key)
    for key in "abc":
        cache.forget(key)
        assert look_up(cache, key) is None
    cache.forget("never there")
    assert len(cache) == 0


def test_clear_forgets_everything():
    cache = GenerationCache(2)
    for key in "abc":
        cache.remember(key, key)
    cache.clear()
    assert cache.keys() == []
    assert all(look_up(cache, key) is None for key in "abc")


ACTIONS = st.tuples(st.sampled_from(["remember", "look up", "forget"]), st.integers(0, 12))


@given(limit=st.integers(1, 5), actions=st.lists(ACTIONS, max_size=100))
def test_cache_never_passes_twice_its_limit_nor_tells_an_old_value(limit: int, actions: list[tuple[str, int]]):
    cache = GenerationCache(limit)
    latest: dict[int, int] = {}
    for number, (action, key) in enumerate(actions):
        if action == "remember":
            cache.remember(key, number)
            latest[key] = number
        elif action == "forget":
            cache.forget(key)
            latest.pop(key, None)
        else:
            assert look_up(cache, key) in (None, latest.get(key))
        assert len(cache) <= 2 * limit
        assert set(cache.keys()) <= set(latest)


@given(st.lists(st.integers(0, 20), max_size=60))
def test_the_most_recent_values_are_always_there(keys: list[int]):
    cache = GenerationCache(3)
    for key in keys:
        if look_up(cache, key) is None:
            cache.remember(key, key)
    recent = list(dict.fromkeys(reversed(keys)))[:3]
    assert all(look_up(cache, key) == key for key in recent)


def test_key_is_familiar_when_it_is_asked_for_again() -> None:
    cache = GenerationCache(4096)
    keys = [b"key-%d" % number for number in range(500)]
    strange = [key for key in keys if not cache.is_familiar(key)]
    assert len(strange) > 450
    assert sum(cache.is_familiar(key) for key in keys) > 450
    assert len(cache) == 0
