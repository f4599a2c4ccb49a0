"""What the API answers where it refuses: status, code and description, as nats-server 2.15 numbers and words them."""

from typing import NamedTuple

from gateway.errors import GatewayError
from gateway.storage.streams.limits import Refusal, RefusedError


class Fault(NamedTuple):
    """`code` is like one of HTTP's, `number` tells the fault."""

    code: int
    number: int
    description: str

    def told(self) -> dict[str, object]:
        return {"code": self.code, "err_code": self.number, "description": self.description}

    def with_text(self, text: object) -> "Fault":
        """The same fault, where its description says what exactly is wrong."""
        return self._replace(description=self.description.format(text))


class ApiError(GatewayError):
    """A request is refused."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.description)
        self.fault = fault


# Requests.
BAD_REQUEST = Fault(400, 10003, "bad request")
INVALID_JSON = Fault(400, 10025, "invalid JSON: {}")
NOT_EMPTY = Fault(400, 10038, "expected an empty request payload")
TOO_MANY_REQUESTS = Fault(429, 10167, "too many requests")
INSUFFICIENT_RESOURCES = Fault(503, 10023, "insufficient resources")
NO_STORAGE = Fault(500, 10047, "insufficient storage resources available")
NO_MEMORY = Fault(500, 10028, "insufficient memory resources available")

NOT_YET = Fault(503, 10008, "JetStream system temporarily unavailable")
NO_CLUSTER = Fault(503, 10010, "JetStream clustering support required")
NOT_ENABLED = Fault(503, 10039, "JetStream not enabled for account")
ACCOUNT_RESOURCES = Fault(400, 10002, "resource limits exceeded for account")
MAX_BYTES_REQUIRED = Fault(400, 10113, "account requires a stream config to have max bytes set")
MAX_STREAM_BYTES = Fault(400, 10122, "stream max bytes exceeds account limit max stream bytes")

# Streams.
STREAM_NOT_FOUND = Fault(404, 10059, "stream not found")
STREAM_NAME_IN_USE = Fault(400, 10058, "stream name already in use with a different configuration")
STREAM_MISMATCH = Fault(400, 10056, "stream name in subject does not match request")
STREAM_CREATE = Fault(500, 10049, "{}")
STREAM_CONFIG = Fault(500, 10052, "{}")
SUBJECTS_OVERLAP = Fault(400, 10065, "subjects overlap with an existing stream")
TOO_MANY_STREAMS = Fault(400, 10027, "maximum number of streams reached")
REPLICAS = Fault(500, 10074, "replicas > 1 not supported in non-clustered mode")
NEGATIVE_REPLICAS = Fault(400, 10133, "replicas count cannot be negative")
SEALED = Fault(400, 10109, "invalid operation on sealed stream")
STREAM_PATH = Fault(400, 10128, "Stream name can not contain path separators")
SNAPSHOT_FAILED = Fault(500, 10064, "snapshot failed: {}")
SNAPSHOT_SUBJECT = Fault(400, 10015, "deliver subject not valid")
RESTORE_FAILED = Fault(500, 10062, "restore failed: {}")
RESTORE_NAME_IN_USE = Fault(400, 10130, "stream name already in use, cannot restore")
PURGE_FAILED = Fault(500, 10110, "{}")
DELETE_FAILED = Fault(500, 10057, "{}")
NO_MESSAGE = Fault(404, 10037, "no message found")
SEQUENCE_NOT_FOUND = Fault(400, 10043, "sequence {} not found")

# Publishing.
STORE_FAILED = Fault(503, 10077, "{}")
MESSAGE_TOO_LARGE = Fault(400, 10054, "message size exceeds maximum allowed")
HEADER_TOO_LARGE = Fault(400, 10097, "header size exceeds maximum allowed of 64k")
WRONG_STREAM = Fault(400, 10060, "expected stream does not match")
WRONG_LAST_ID = Fault(400, 10070, "wrong last msg ID: {}")
WRONG_LAST_SEQUENCE = Fault(400, 10071, "wrong last sequence: {}")
NO_ROLLUP = Fault(500, 10111, "rollup not permitted")
WRONG_ROLLUP = Fault(500, 10111, 'rollup value invalid: "{}"')
INVALID_TTL = Fault(400, 10165, "invalid per-message TTL")
TTL_DISABLED = Fault(400, 10166, "per-message TTL is disabled")
COUNTER_DISABLED = Fault(400, 10168, "message counters is disabled")
ATOMIC_DISABLED = Fault(400, 10174, "atomic publish is disabled")
SCHEDULES_DISABLED = Fault(400, 10188, "message schedules is disabled")

# Counters, schedules and batches.
COUNTER_MISSING = Fault(400, 10169, "message counter increment is missing")
COUNTER_PAYLOAD = Fault(400, 10170, "message counter has payload")
COUNTER_INVALID = Fault(400, 10171, "message counter increment is invalid")
COUNTER_BROKEN = Fault(400, 10172, "message counter is broken")
SCHEDULE_PATTERN = Fault(400, 10189, "message schedules pattern is invalid")
SCHEDULE_TARGET = Fault(400, 10190, "message schedules target is invalid")
SCHEDULE_TTL = Fault(400, 10191, "message schedules invalid per-message TTL")
SCHEDULE_ROLLUP = Fault(400, 10192, "message schedules invalid rollup")
SCHEDULE_SOURCE = Fault(400, 10203, "message schedules source is invalid")
SCHEDULE_SCHEDULER = Fault(400, 10212, "message schedules invalid scheduler")
SCHEDULE_ZONE = Fault(400, 10223, "message schedules time zone is invalid")
ATOMIC_NO_SEQUENCE = Fault(400, 10175, "atomic publish sequence is missing")
ATOMIC_INCOMPLETE = Fault(400, 10176, "atomic publish batch is incomplete")
ATOMIC_HEADER = Fault(400, 10177, "atomic publish unsupported header used: {}")
ATOMIC_ID = Fault(400, 10179, "atomic publish batch ID is invalid")
ATOMIC_TOO_LARGE = Fault(400, 10199, "atomic publish batch is too large: {}")
ATOMIC_COMMIT = Fault(400, 10200, "atomic publish batch commit is invalid")
ATOMIC_DUPLICATE = Fault(400, 10201, "atomic publish batch contains duplicate message id")
ATOMIC_TOO_MANY = Fault(429, 10210, "atomic publish too many inflight")
BATCH_DISABLED = Fault(400, 10205, "batch publish is disabled")
BATCH_PATTERN = Fault(400, 10206, "batch publish pattern is invalid")
BATCH_ID = Fault(400, 10207, "batch publish ID is invalid")
BATCH_UNKNOWN = Fault(400, 10208, "batch publish ID unknown")
BATCH_TOO_MANY = Fault(429, 10211, "batch publish too many inflight")
SOURCE_HEADER = Fault(400, 10227, "message stream source header is not allowed")
WRONG_LAST_CONSTANT = Fault(400, 10164, "wrong last sequence")
NO_EXPECTED_SEQUENCE = Fault(400, 10193, "missing sequence for expected last sequence per subject")
ROLLUP_FAILED = Fault(500, 10111, "{}")

# Mirrors, sources and transforms.
API_PREFIX_OVERLAPS = Fault(400, 10021, "stream external api prefix {} must not overlap with {}")
DELIVER_PREFIX_OVERLAPS = Fault(400, 10022, "stream external delivery prefix {} overlaps with stream subject {}")
DELIVER_PREFIX_WILD = Fault(400, 10024, "stream external delivery prefix {} must not contain wildcards")
MIRROR_SETUP = Fault(500, 10029, "{}")
MIRROR_MESSAGE_SIZE = Fault(400, 10030, "stream mirror must have max message size >= source")
MIRROR_SOURCES = Fault(400, 10031, "stream mirrors can not also contain other sources")
MIRROR_SUBJECTS = Fault(400, 10034, "stream mirrors can not contain subjects")
SOURCE_SETUP = Fault(500, 10045, "{}")
SOURCE_MESSAGE_SIZE = Fault(400, 10046, "stream source must have max message size >= target")
MIRROR_NOT_CHANGEABLE = Fault(400, 10055, "stream mirror configuration can not be updated")
SOURCE_TWICE = Fault(400, 10140, "duplicate source configuration detected")
SOURCE_CONSUMER = Fault(400, 10215, "stream source consumer config is invalid")
SOURCE_CONSUMER_TWICE = Fault(400, 10216, "duplicate stream source consumer detected")
SOURCE_FLOW = Fault(400, 10217, "stream source consumer requires flow control ack policy")
SOURCE_NAME = Fault(400, 10141, "sourced stream name is invalid")
MIRROR_NAME = Fault(400, 10142, "mirrored stream name is invalid")
MIRROR_CONSUMER = Fault(400, 10213, "stream mirror consumer config is invalid")
MIRROR_FLOW = Fault(400, 10214, "stream mirror consumer requires flow control ack policy")
MIRROR_FIRST_SEQUENCE = Fault(400, 10143, "stream mirrors can not have first sequence configured")
SOURCE_FILTERS = Fault(400, 10144, "source with multiple subject transforms cannot also have a single subject filter")
SOURCE_TRANSFORM_SOURCE = Fault(400, 10145, "source transform source: {}")
SOURCE_TRANSFORM = Fault(400, 10146, "source transform: {}")
SOURCE_OVERLAP = Fault(400, 10147, "source filters can not overlap")
MIRROR_FILTERS = Fault(400, 10150, "mirror with multiple subject transforms cannot also have a single subject filter")
MIRROR_TRANSFORM_SOURCE = Fault(400, 10151, "mirror transform source: {}")
MIRROR_OVERLAP = Fault(400, 10152, "mirror subject filters can not overlap")
MIRROR_TRANSFORM = Fault(400, 10154, "mirror transform: {}")
TRANSFORM_SOURCE = Fault(400, 10155, "stream transform source: {}")
TRANSFORM = Fault(400, 10156, "stream transform: {}")
MIRROR_COUNTERS = Fault(400, 10173, "stream mirrors can not also calculate counters")
MIRROR_SCHEDULES = Fault(400, 10186, "stream mirrors can not also schedule messages")
SOURCE_SCHEDULES = Fault(400, 10187, "stream source can not also schedule messages")
MIRROR_ATOMIC = Fault(400, 10198, "stream mirrors can not also use atomic publishing")
MIRROR_BATCHED = Fault(400, 10209, "stream mirrors can not also use batch publishing")
API_LEVEL = Fault(412, 10185, "JetStream minimum api level required")
IDENTITY_MISMATCH = Fault(400, 10225, "consumer's stream identity does not match: {}")

# Consumers.
CONSUMER_NOT_FOUND = Fault(404, 10014, "consumer not found")
CONSUMER_EXISTS = Fault(400, 10148, "consumer already exists")
CONSUMER_DOES_NOT_EXIST = Fault(400, 10149, "consumer does not exist")
CONSUMER_NAME_IN_USE = Fault(400, 10013, "consumer name already in use")
CONSUMER_CREATE = Fault(500, 10012, "{}")
TOO_MANY_CONSUMERS = Fault(400, 10026, "maximum consumers limit reached")
DURABLE_MISMATCH = Fault(400, 10017, "consumer name in subject does not match durable name in request")
DURABLE_NOT_SET = Fault(400, 10018, "consumer expected to be durable but a durable name was not set")
EPHEMERAL_WITH_NAME = Fault(400, 10020, "consumer expected to be ephemeral but a durable name was set in request")
DELIVER_WILDCARDS = Fault(400, 10079, "consumer deliver subject has wildcards")
PUSH_MAX_WAITING = Fault(400, 10080, "consumer in push mode can not set max waiting")
DELIVER_CYCLE = Fault(400, 10081, "consumer deliver subject forms a cycle")
PENDING_NEEDS_POLICY = Fault(400, 10082, "consumer requires ack policy for max ack pending")
HEARTBEAT_TOO_SMALL = Fault(400, 10083, "consumer idle heartbeat needs to be >= 100ms")
PULL_NEEDS_EXPLICIT = Fault(400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream")
PULL_WITH_RATE = Fault(400, 10086, "consumer in pull mode can not have rate limit set")
HEARTBEAT_NEEDS_PUSH = Fault(400, 10088, "consumer idle heartbeat requires a push based consumer")
FLOW_NEEDS_PUSH = Fault(400, 10089, "consumer flow control requires a push based consumer")
DIRECT_NEEDS_PUSH = Fault(400, 10090, "consumer direct requires a push based consumer")
DIRECT_DURABLE = Fault(400, 10091, "consumer direct requires an ephemeral consumer")
FILTER_NOT_SUBSET = Fault(400, 10093, "consumer filter subject is not a valid subset of the interest subjects")
INVALID_POLICY = Fault(400, 10094, "{}")
INVALID_SAMPLING = Fault(400, 10095, "failed to parse consumer sampling configuration: {}")
QUEUE_NEEDS_EXPLICIT = Fault(400, 10098, "workqueue stream requires explicit ack")
QUEUE_UNFILTERED = Fault(400, 10099, "multiple non-filtered consumers not allowed on workqueue stream")
QUEUE_NOT_UNIQUE = Fault(400, 10100, "filtered consumer not unique on workqueue stream")
QUEUE_NOT_ALL = Fault(400, 10101, "consumer must be deliver all on workqueue stream")
NAME_TOO_LONG = Fault(400, 10102, "consumer name is too long, maximum allowed is {}")
BAD_DURABLE = Fault(400, 10103, "durable name can not contain '.', '*', '>'")
DESCRIPTION_TOO_LONG = Fault(400, 10107, "consumer description is too long, maximum allowed is {}")
FLOW_NEEDS_HEARTBEAT = Fault(400, 10108, "consumer with flow control also needs heartbeats")
INVALID_DELIVER = Fault(400, 10112, "invalid push consumer deliver subject")
PEDANTIC = Fault(400, 10157, "pedantic mode: {}")
EXPIRES_TOO_SMALL = Fault(400, 10115, "consumer max request expires needs to be >= 1ms")
BACKOFF_TOO_LONG = Fault(400, 10116, "max deliver is required to be > length of backoff values")
PENDING_OVER_LIMIT = Fault(400, 10121, "consumer max ack pending exceeds system limit of {}")
CONSUMER_PATH = Fault(400, 10127, "Consumer name can not contain path separators")
FILTER_MISMATCH = Fault(400, 10131, "Consumer create request did not match filtered subject from create subject")
NAMES_DIFFER = Fault(400, 10132, "Consumer Durable and Name have to be equal if both are provided")
CONSUMER_METADATA = Fault(400, 10135, "consumer metadata exceeds maximum size of {}")
BOTH_FILTERS = Fault(400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified")
FILTERS_IN_SUBJECT = Fault(400, 10137, "consumer with multiple subject filters cannot use subject based API")
FILTERS_OVERLAP = Fault(400, 10138, "consumer subject filters cannot overlap")
EMPTY_FILTER = Fault(400, 10139, "consumer filter in FilterSubjects cannot be empty")
INACTIVE_OVER_LIMIT = Fault(400, 10153, "consumer inactive threshold exceeds system limit of {}")
POLICY_WITHOUT_GROUP = Fault(400, 10159, "Setting PriorityPolicy requires at least one PriorityGroup to be set")
NO_SUCH_GROUP = Fault(400, 10160, "Provided priority group does not exist for this consumer")
EMPTY_GROUP = Fault(400, 10161, "Group name cannot be an empty string")
INVALID_GROUP = Fault(
    400, 10162, "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters"
)
PUSH_WITH_GROUPS = Fault(400, 10178, "priority groups can not be used with push consumers")
GROUPS_WITHOUT_POLICY = Fault(400, 10196, "consumer can not have priority groups when policy is none")
PIN_WITHOUT_POLICY = Fault(400, 10197, "PinnedTTL cannot be set when PriorityPolicy is none")
FLOW_POLICY_PUSH = Fault(400, 10218, "flow control ack policy requires a push based consumer")
FLOW_POLICY_PENDING = Fault(400, 10220, "flow control ack policy requires max ack pending")
FLOW_POLICY_WAIT = Fault(400, 10221, "flow control ack policy requires unset ack wait")
FLOW_POLICY_DELIVER = Fault(400, 10222, "flow control ack policy requires unset max deliver")
INVALID_RESET = Fault(400, 10204, "invalid reset: {}")
ACK_WAIT_NEGATIVE = Fault(400, 10183, "consumer ack wait needs to be positive")
BACKOFF_NEGATIVE = Fault(400, 10184, "consumer backoff needs to be positive")

# What nats-server 2.15 has and this has not: refused with the number of what it is part of.
STREAM_FEATURE = Fault(500, 10052, "{} is not supported by this gateway")
CONSUMER_FEATURE = Fault(500, 10012, "{} is not supported by this gateway")


def api_prefix_overlaps(prefix: str, subject: str) -> Fault:
    return API_PREFIX_OVERLAPS._replace(description=API_PREFIX_OVERLAPS.description.format(prefix, subject))


def deliver_prefix_overlaps(prefix: str, subject: str) -> Fault:
    return DELIVER_PREFIX_OVERLAPS._replace(description=DELIVER_PREFIX_OVERLAPS.description.format(prefix, subject))


REFUSALS = {
    Refusal.MESSAGES: STORE_FAILED.with_text("maximum messages exceeded"),
    Refusal.BYTES: STORE_FAILED.with_text("maximum bytes exceeded"),
    Refusal.PER_SUBJECT: STORE_FAILED.with_text("maximum messages per subject exceeded"),
    Refusal.TOO_LARGE: MESSAGE_TOO_LARGE,
    Refusal.QUOTA: NO_STORAGE,
    Refusal.CLOSED: STREAM_NOT_FOUND,
}


def fault_of(error: RefusedError, in_memory: bool) -> Fault:
    """Why a message was not stored, in the API's terms."""
    if in_memory and error.refusal is Refusal.QUOTA:
        return NO_MEMORY
    return REFUSALS.get(error.refusal) or STORE_FAILED.with_text(error.refusal.value)
