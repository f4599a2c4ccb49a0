from hypothesis import given
from hypothesis import strategies as st

from protocols.cache import GenerationCache

KEYS = (b"a", b"b", b"c")


def look_up(cache: GenerationCache, key: bytes) -> object:
    """As hot code does it."""
    found = cache.young.get(key)
    return cache.recall(key) if found is None else found


def test_value_is_found_until_two_generations_have_passed():
    cache = GenerationCache(2)
    cache.remember(b"a", 1)
    assert look_up(cache, b"a") == 1
    for key in (b"b", b"c", b"d", b"e"):
        cache.remember(key, key)
    assert look_up(cache, b"a") is None


def test_value_that_is_used_stays():
    cache = GenerationCache(2)
    cache.remember(b"a", 1)
    for number in range(100):
        cache.remember(b"%d" % number, number)
        assert look_up(cache, b"a") == 1


def test_young_stays_the_same_dictionary():
    cache = GenerationCache(2)
    young = cache.young
    for number in range(10):
        cache.remember(b"%d" % number, number)
    cache.clear()
    cache.remember(b"a", 1)
    assert cache.young is young
    assert young == {b"a": 1}


def test_forgotten_key_is_gone_from_both_generations():
    cache = GenerationCache(2)
    for key in KEYS:
        cache.remember(key, key)
    for key in KEYS:
        cache.forget(key)
        assert look_up(cache, key) is None
    cache.forget(b"never there")
    assert len(cache) == 0


def test_whoever_copies_entries_hears_that_one_may_be_gone():
    cache = GenerationCache(2)
    known = cache.losses

    def lost() -> bool:
        nonlocal known
        before, known = known, cache.losses
        return known > before

    for key in KEYS[:2]:
        cache.remember(key, key)
    cache.forget(b"never there")
    assert not lost()
    cache.remember(KEYS[2], KEYS[2])  # The young generation is full.
    assert lost()
    cache.forget(KEYS[0])  # Of the old generation.
    assert lost()
    cache.forget(KEYS[2])
    assert lost()
    cache.clear()
    assert lost()


def test_clear_forgets_everything():
    cache = GenerationCache(2)
    for key in KEYS:
        cache.remember(key, key)
    cache.clear()
    assert cache.keys() == []
    assert all(look_up(cache, key) is None for key in KEYS)


ACTIONS = st.tuples(st.sampled_from(["remember", "look up", "forget"]), st.integers(0, 12).map(b"%d".__mod__))


@given(limit=st.integers(1, 5), actions=st.lists(ACTIONS, max_size=100))
def test_cache_never_passes_twice_its_limit_nor_tells_an_old_value(limit: int, actions: list[tuple[str, bytes]]):
    cache = GenerationCache(limit)
    latest: dict[bytes, int] = {}
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


@given(st.lists(st.integers(0, 20).map(b"%d".__mod__), max_size=60))
def test_the_most_recent_values_are_always_there(keys: list[bytes]):
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


SIZES = st.integers(0, 60)


@given(st.integers(40, 100), st.lists(st.tuples(SIZES, SIZES, st.booleans()), max_size=60))
def test_cache_never_holds_more_than_twice_its_bytes(limit: int, entries: list[tuple[int, int, bool]]):
    cache = GenerationCache(1000, limit, len)
    for number, (key_size, value_size, again) in enumerate(entries):
        key, value = b"%d" % number + bytes(key_size), bytes(value_size)
        cache.remember(key, value)
        assert (cache.young.get(key) == value) == (len(key) + value_size <= limit // 2)
        if again:
            for old in cache.keys():
                look_up(cache, old)
        held = {key: cache.young.get(key) for key in cache.keys()}
        assert sum(len(key) + len(look_up(cache, key) or b"") for key in held) <= 2 * limit


def test_usual_keys_are_limited_by_their_number_alone():
    cache = GenerationCache(4096)
    for number in range(3 * 4096):
        cache.remember(b"sensors.kitchen.temperature.%d" % number, number)
    assert len(cache) == 2 * 4096


def test_value_that_is_too_large_takes_the_old_one_with_it():
    cache = GenerationCache(10, 100, len)
    cache.remember(b"a", b"small")
    cache.remember(b"a", bytes(100))
    assert look_up(cache, b"a") is None
