"""Permissions: what somebody may publish and subscribe to, as nats-server understands the same rules.

Everybody with the same rules has the same object, so that verdicts are shared (`make_permissions`).
"""

import time
from weakref import WeakValueDictionary

from gateway.dataplane.verdicts import FilterSet, ReplyRights, Verdicts
from gateway.settings.security import AllowResponses, PermissionRules, SubjectRule
from protocols.mqtt.reply_subjects import MOST_NESTED, REPLY_PREFIX, inner_subject
from protocols.subjects import is_subset, matches, overlaps

# What the gateway answers itself needs no rule, but one can forbid it: each service asks what its asker may do.
SERVICES = b"$LEAFGATE."
# The request to publish on the subject behind it (gateway.services.acknowledged_publish).
PUBLISH_PREFIX = b"$LEAFGATE.publish."
# On such subjects there is what is for another one: who may not have the one may not have the other.
CARRIERS = (PUBLISH_PREFIX + b">", REPLY_PREFIX + b"*.*.>")
# Where a rule says 0, nats-server's defaults hold.
USUAL_ANSWERS = 1
USUAL_ANSWER_SECONDS = 120.0
NANOSECONDS = 1_000_000_000


class Subscribing:
    """What may be subscribed to: `allow` is None for everything. A filter may name queue groups that it holds for."""

    __slots__ = ("_allow", "_allow_queues", "_anything", "_deny", "_deny_filters", "_deny_queues", "_some_allowed")

    def __init__(self, rule: SubjectRule) -> None:
        allow, self._allow_queues = split_queues(rule.allow or ())
        deny, self._deny_queues = split_queues(rule.deny)
        self._anything = rule.allow is None
        self._allow = FilterSet(allow)
        # What comes to a queue group comes to its members.
        self._some_allowed = FilterSet((*allow, *(subject for subject, _ in self._allow_queues)))
        self._deny = FilterSet(deny)
        self._deny_filters = deny

    def permits(self, subject: bytes, queue: bytes) -> bool:
        """Whether a subscription is allowed: all that it can match must be. One that is broader than what is denied is
        allowed, and `filters`.
        """
        if not self._anything:
            allowed = self._allow.covers(subject)
            if queue:
                names = [name for filters, name in self._allow_queues if is_subset(subject, filters)]
                allowed = any(is_subset(queue, name) for name in names) if names else allowed
            if not allowed:
                return False
        denied = self._denies(subject)
        if queue and not denied:
            denied = any(matches(filters, subject) and is_subset(queue, name) for filters, name in self._deny_queues)
        return not denied

    def filters(self, subject: bytes) -> bool:
        if any(overlaps(subject, denied) for denied in self._deny_filters):
            return True
        return bool(self._deny_filters) and any(overlaps(subject, carrier) for carrier in CARRIERS)

    def permits_message(self, subject: bytes) -> bool:
        """Whether messages on a subject may come here, to whatever subscription."""
        return (self._anything or self._some_allowed.matches(subject)) and not self._denies(subject)

    def _denies(self, subject: bytes) -> bool:
        if not self._deny:
            return False
        for _ in range(MOST_NESTED + 2):
            if self._deny.matches(subject):
                return True
            inner = carried_subject(subject)
            if inner is None:
                return False
            subject = inner
        return True


class Permissions:
    """What its users may do. `publishing` is None where they may publish everything, `receiving` where they may receive
    everything. Without rules everything is allowed.
    """

    __slots__ = ("__weakref__", "_allow", "_deny", "_responses", "_subscribing", "publishing", "receiving", "rules")

    def __init__(self, rules: PermissionRules | None = None) -> None:
        rules = rules or PermissionRules()
        self.rules = rules
        self._responses = responses_of(rules)
        publish = rules.publish or SubjectRule()
        # Who may answer may publish nothing else, unless a rule says so.
        allow = publish.allow if publish.allow is not None or self._responses is None else ()
        self._allow = FilterSet(map(str.encode, allow)) if allow is not None else None
        self._deny = FilterSet(map(str.encode, publish.deny))
        restricted = self._allow is not None or publish.deny
        self.publishing = Verdicts(self._may_publish_anew) if restricted else None
        self._subscribing = Subscribing(rules.subscribe) if rules.subscribe is not None else None
        self.receiving = Verdicts(self._subscribing.permits_message) if self._subscribing is not None else None

    def may_publish(self, subject: bytes) -> bool:
        """Whether the rules allow it; answers to requests are another matter (`make_replies`)."""
        return self.publishing is None or self.publishing.allow(subject)

    def may_subscribe(self, subject: bytes, queue: bytes = b"") -> bool:
        return self._subscribing is None or self._subscribing.permits(subject, queue)

    def filters(self, subject: bytes) -> bool:
        """Whether a subscription to this filter gets some of its messages only (`may_receive`)."""
        return self._subscribing is not None and self._subscribing.filters(subject)

    def may_receive(self, subject: bytes) -> bool:
        """Whether a message on a subject may come to its users."""
        return self.receiving is None or self.receiving.allow(subject)

    def make_replies(self) -> ReplyRights | None:
        """What a new connection has as its rights to answer; None for none, or where it needs no such right."""
        if self._responses is None:
            return None
        return ReplyRights(self.publishing, *self._responses, time.monotonic)

    def describe(self) -> dict[str, object] | None:
        """In nats-server's form, as `$SYS.REQ.USER.INFO` tells it; None where everything is allowed."""
        rules = self.rules
        if rules == PermissionRules():
            return None
        publish = describe_rule(rules.publish)
        if self._responses is not None and "allow" not in publish:
            publish = {"allow": []} | publish
        told: dict[str, object] = {"publish": publish, "subscribe": describe_rule(rules.subscribe)}
        if self._responses is not None:
            most, seconds = self._responses
            told["responses"] = {"max": most or -1, "ttl": int(seconds * NANOSECONDS) or -1}
        return told

    def _may_publish_anew(self, subject: bytes) -> bool:
        # Who answers an MQTT request on such a subject publishes on the one that is in it.
        for _ in range(MOST_NESTED + 1):
            if self._deny.matches(subject):
                return False
            inner = inner_subject(subject)
            if inner is None:
                return self._allow is None or subject.startswith(SERVICES) or self._allow.matches(subject)
            subject = inner
        return False


_known: "WeakValueDictionary[PermissionRules, Permissions]" = WeakValueDictionary()


def make_permissions(rules: PermissionRules | None, *defaults: PermissionRules | None) -> Permissions:
    """The permissions of a user: its own rules, else the first of the defaults that there is, else everything."""
    chosen = next((one for one in (rules, *defaults) if one is not None), None)
    if chosen is None or chosen == PermissionRules():
        return EVERYTHING
    found = _known.get(chosen)
    if found is None:
        found = _known[chosen] = Permissions(chosen)
    return found


def carried_subject(subject: bytes) -> bytes | None:
    """The subject that what comes on a carrier is for; None where it is for nothing else."""
    if subject.startswith(PUBLISH_PREFIX):
        return subject[len(PUBLISH_PREFIX) :]
    return inner_subject(subject)


def split_queues(texts: tuple[str, ...]) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """The filters without a queue group, and those with one."""
    pairs = [text.encode().partition(b" ") for text in texts]
    return [subject for subject, _, queue in pairs if not queue], [(one, queue) for one, _, queue in pairs if queue]


def responses_of(rules: PermissionRules) -> tuple[int, float] | None:
    """How many answers to a request, within how many seconds; 0 for no limit."""
    wanted = AllowResponses() if rules.allow_responses is True else rules.allow_responses
    if wanted is False:
        return None
    return max(wanted.max or USUAL_ANSWERS, 0), max(wanted.seconds or USUAL_ANSWER_SECONDS, 0.0)


def describe_rule(rule: SubjectRule | None) -> dict[str, object]:
    told: dict[str, object] = {}
    if rule is not None and rule.allow is not None:
        told["allow"] = list(rule.allow)
    if rule is not None and rule.deny:
        told["deny"] = list(rule.deny)
    return told


EVERYTHING = Permissions()
# Of a user whom there is not any more, though something of his still is.
NO_RIGHTS = Permissions(PermissionRules(publish=SubjectRule(deny=(">",)), subscribe=SubjectRule(deny=(">",))))
