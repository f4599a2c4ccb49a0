"""Whether a stream may have its messages from where its configuration says, and hand them on to where that says."""

from collections.abc import Mapping

from gateway.streams import errors
from gateway.streams.errors import ApiError
from gateway.streams.filter_tree import have_covered, have_overlaps
from gateway.streams.origin_config import API_PREFIX, EVERYTHING, External, StreamOrigin, TransformConfig, encoded
from gateway.streams.stream_config import MOST_SUBJECT_BYTES, StreamConfig
from gateway.streams.times import parse_time, time_text
from protocols.foreign_text import is_legal_literal
from protocols.subject_transform import SubjectTransform
from protocols.subjects import is_literal, is_valid_filter, overlaps

# Each source has a consumer of its own; and all that they and a mirror do to subjects.
MOST_SOURCES = 512
MOST_TRANSFORMS = 512


def origins_of(config: StreamConfig) -> list[StreamOrigin]:
    return [config.mirror] if config.mirror is not None else [*(config.sources or ())]


def complete_origins(config: StreamConfig, others: Mapping[str, StreamConfig]) -> None:
    """Put in what a request may leave out. Raises ApiError."""
    for origin in origins_of(config):
        if origin.opt_start_time:
            try:
                origin.opt_start_time = time_text(parse_time(origin.opt_start_time))
            except ValueError as error:
                raise ApiError(errors.INVALID_JSON.with_text(error)) from None
    config.sources = config.sources or None
    if config.mirror is not None and config.mirror.external is None:
        known = others.get(config.mirror.name)
        if known is not None:
            config.mirror_direct = known.allow_direct
    republish, transform = config.republish, config.subject_transform
    if republish is not None:
        republish.src = republish.src or EVERYTHING
        is_everything = republish.src == republish.dest == EVERYTHING
        if transform is not None and is_everything and transform.dest and config.subjects == [transform.src]:
            republish.src = republish.dest = transform.dest
    if config.placement is not None and config.placement.is_anywhere:
        config.placement = None


def check_origins(config: StreamConfig, others: Mapping[str, StreamConfig]) -> None:
    """Whether a completed configuration may have messages from where it says. `others` are the streams of the account.
    Raises ApiError.
    """
    check_size(config)
    if config.mirror is not None:
        check_mirror(config, config.mirror)
    if config.sources:
        check_sources(config, config.sources)
    subjects: list[str] = []
    for origin in origins_of(config):
        known = others.get(origin.name) if origin.external is None else None
        if known is None:
            continue
        subjects += known.subjects or ()
        if 0 < config.max_msg_size < known.max_msg_size:
            raise ApiError(errors.MIRROR_MESSAGE_SIZE if config.mirror is not None else errors.SOURCE_MESSAGE_SIZE)
    for origin in origins_of(config):
        if origin.external is not None:
            check_external(origin.external, subjects)
    check_cycle(config, others)
    check_transform(config)
    check_republish(config)


def check_size(config: StreamConfig) -> None:
    """Raises ApiError where there is more to look through than others should wait for."""
    origins = origins_of(config)
    if len(origins) > MOST_SOURCES:
        raise ApiError(errors.STREAM_CONFIG.with_text(f"a stream has at most {MOST_SOURCES} sources"))
    transforms = [one for origin in origins for one in origin.subject_transforms or ()]
    if len(transforms) > MOST_TRANSFORMS:
        text = f"the mirror or the sources of a stream have at most {MOST_TRANSFORMS} subject transforms together"
        raise ApiError(errors.STREAM_CONFIG.with_text(text))
    written = [text for one in transforms for text in (one.src, one.dest)]
    written += [text for origin in origins for text in (origin.name, origin.filter_subject)]
    if sum(map(len, written)) > MOST_SUBJECT_BYTES:
        text = f"the names and subjects of a mirror or of sources have at most {MOST_SUBJECT_BYTES} bytes together"
        raise ApiError(errors.STREAM_CONFIG.with_text(text))


def check_mirror(config: StreamConfig, mirror: StreamOrigin) -> None:
    contradictions = (
        (config.first_seq > 0, errors.MIRROR_FIRST_SEQUENCE),
        (bool(config.subjects), errors.MIRROR_SUBJECTS),
        (bool(config.sources), errors.MIRROR_SOURCES),
        (config.allow_msg_counter, errors.MIRROR_COUNTERS),
        (config.allow_atomic, errors.MIRROR_ATOMIC),
        (config.allow_batched, errors.MIRROR_BATCHED),
        (config.allow_msg_schedules, errors.MIRROR_SCHEDULES),
        (not is_consumer_sound(mirror), errors.MIRROR_CONSUMER),
        (bool(mirror.filter_subject and mirror.subject_transforms), errors.MIRROR_FILTERS),
    )
    for wrong, fault in contradictions:
        if wrong:
            raise ApiError(fault)
    if config.subject_delete_marker_ttl > 0:
        raise ApiError(errors.STREAM_CONFIG.with_text("subject delete markers forbidden on mirrors"))
    transforms = mirror.subject_transforms or []
    check_transforms(transforms, errors.MIRROR_TRANSFORM_SOURCE, errors.MIRROR_TRANSFORM)
    if have_overlaps([one.source for one in transforms]):
        raise ApiError(errors.MIRROR_OVERLAP)
    if mirror.external is None and not is_name(mirror.name):
        raise ApiError(errors.MIRROR_NAME)


def check_sources(config: StreamConfig, sources: list[StreamOrigin]) -> None:
    if config.allow_msg_schedules:
        raise ApiError(errors.SOURCE_SCHEDULES)
    seen: set[str] = set()
    consumers: set[tuple[str, str, str]] = set()
    for source in sources:
        if not is_name(source.name):
            raise ApiError(errors.SOURCE_NAME)
        if source.index in seen:
            raise ApiError(errors.SOURCE_TWICE)
        seen.add(source.index)
        if source.filter_subject and source.subject_transforms:
            raise ApiError(errors.SOURCE_FILTERS)
        transforms = source.subject_transforms or []
        check_transforms(transforms, errors.SOURCE_TRANSFORM_SOURCE, errors.SOURCE_TRANSFORM)
        if have_covered([one.source for one in transforms]):
            raise ApiError(errors.SOURCE_OVERLAP)
        if not is_consumer_sound(source):
            raise ApiError(errors.SOURCE_CONSUMER)
        if source.consumer is not None:
            external = source.external.api if source.external is not None else ""
            consumer = source.name, external, source.consumer.name
            if consumer in consumers:
                raise ApiError(errors.SOURCE_CONSUMER_TWICE)
            consumers.add(consumer)


def is_consumer_sound(origin: StreamOrigin) -> bool:
    """Whether a consumer that is there already, if there is one, can be what an origin is read with: it has its own
    filters, and a place of its own.
    """
    consumer = origin.consumer
    if consumer is None:
        return True
    subject = encoded(consumer.deliver_subject)
    has_subject = is_legal_literal(subject) and is_literal(subject)
    begins = origin.opt_start_seq or origin.opt_start_time or origin.filter_subject
    return is_name(consumer.name) and has_subject and not begins


def check_transforms(transforms: list[TransformConfig], source_fault: errors.Fault, fault: errors.Fault) -> None:
    for one in transforms:
        if one.src and not is_valid_filter(encoded(one.src)):
            raise ApiError(source_fault.with_text(f"invalid subject {one.src}"))
        try:
            one.transform()
        except ValueError as error:
            raise ApiError(fault.with_text(error)) from None


def is_name(name: str) -> bool:
    return bool(name) and name.isprintable() and not any(character in name for character in " .*>/\\")


def check_external(external: External, subjects: list[str]) -> None:
    """`subjects` are those of the streams here that messages come from, too."""
    if external.deliver:
        if not is_legal_literal(encoded(external.deliver.rstrip("."))) or not is_literal(encoded(external.deliver)):
            raise ApiError(errors.DELIVER_PREFIX_WILD.with_text(external.deliver))
        for subject in subjects:
            if overlaps(encoded(subject), encoded(f"{external.deliver}.{subject}")):
                raise ApiError(errors.deliver_prefix_overlaps(external.deliver, subject))
    if external.api:
        if not is_legal_literal(encoded(external.api)) or not is_literal(encoded(external.api)):
            text = f'stream external api prefix "{external.api}" must be a valid subject without wildcards'
            raise ApiError(errors.STREAM_CONFIG.with_text(text))
        if external.api == API_PREFIX:
            raise ApiError(errors.api_prefix_overlaps(external.api, API_PREFIX))


def check_cycle(config: StreamConfig, others: Mapping[str, StreamConfig]) -> None:
    """No stream may have its own messages from itself, over others of the account or not."""
    waiting, visited = [config], set[str]()
    # Each stream is looked at once, however many ways there are to it.
    found = {config.name}
    for one in waiting:
        visited.add(one.name)
        for origin in origins_of(one):
            if origin.external is not None:
                continue
            if origin.name in visited:
                wanted = encoded(origin.filter_subject or EVERYTHING)
                if one.mirror is not None or not origin.filter_subject or any(overlaps(x, wanted) for x in one.filters):
                    raise ApiError(errors.STREAM_CONFIG.with_text("detected cycle"))
            elif origin.name in others and origin.name not in found:
                found.add(origin.name)
                waiting.append(others[origin.name])


def check_transform(config: StreamConfig) -> None:
    transform = config.subject_transform
    if transform is not None:
        check_transforms([transform], errors.TRANSFORM_SOURCE, errors.TRANSFORM)


def check_republish(config: StreamConfig) -> None:
    republish = config.republish
    if republish is None:
        return
    destination = encoded(republish.dest)
    if any(overlaps(destination, subject) for subject in config.filters):
        raise ApiError(errors.STREAM_CONFIG.with_text("stream configuration for republish destination forms a cycle"))
    try:
        SubjectTransform(encoded(republish.src), destination)
    except ValueError:
        lead = "stream configuration for republish with transform from"
        text = f"{lead} '{republish.src}' to '{republish.dest}' not valid"
        raise ApiError(errors.STREAM_CONFIG.with_text(text)) from None
