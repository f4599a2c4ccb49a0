"""Reply subjects of what a stream delivers, `$JS.ACK.…`: they tell of which delivery an acknowledgement is (hot).

`$JS.ACK.<stream>.<consumer>.` or, in version 2, `$JS.ACK.<domain or _>.<account's hash>.<stream>.<consumer>.`, and
behind that five numbers: how often the message was delivered, its sequence in the stream, the number of the delivery
among the consumer's, the time in nanoseconds of unix time, how many messages are left. In version 2 more may follow.
"""

try:
    import cython
except ImportError:
    from protocols import form as cython

from protocols.scanning import begins_at, copy_into, cut_buffer, digits_of, find_byte, write_number

DOT = 0x2E
ZERO, NINE = 0x30, 0x39
TEN = 10
PREFIX = b"$JS.ACK."
# Tokens in all, and in front of the numbers.
TOKENS, TOKENS_2 = 9, 11
LEAD, LEAD_2 = 4, 6
NUMBERS = 5
DOTS = NUMBERS - 1
# Digits of the longest number: time has 19, and so many fit.
MOST_DIGITS = 19


class Delivery:
    """Which delivery such a subject tells of: `deliveries` of the message with that `sequence`, and its `number`."""

    __slots__ = ("deliveries", "number", "sequence")

    def __init__(self) -> None:
        self.deliveries = self.sequence = self.number = 0

    def read(self, subject: bytes) -> bool:
        """Take what a subject says; False where it is no such subject."""
        if not cython.compiled:
            return self._read_tokens(subject)
        tokens = count_tokens(subject)
        if tokens != TOKENS and tokens < TOKENS_2:
            return False
        at, end = skip_tokens(subject, LEAD if tokens == TOKENS else LEAD_2), len(subject)
        found, wanted = 0, NUMBERS
        while found < wanted:
            begin = at
            number = 0
            while at < end and subject[at] != DOT:
                if at - begin == MOST_DIGITS or not ZERO <= subject[at] <= NINE:
                    return False
                number = number * TEN + subject[at] - ZERO
                at += 1
            if at == begin:
                return False
            if found == 0:
                self.deliveries = number
            elif found == 1:
                self.sequence = number
            elif found == 2:
                self.number = number
            at += 1
            found += 1
        return True

    def _read_tokens(self, subject: bytes) -> bool:
        tokens = subject.split(b".")
        if len(tokens) == TOKENS:
            tokens = tokens[LEAD:]
        elif len(tokens) >= TOKENS_2:
            tokens = tokens[LEAD_2 : LEAD_2 + NUMBERS]
        else:
            return False
        if not all(token.isdigit() and len(token) <= MOST_DIGITS for token in tokens):
            return False
        self.deliveries, self.sequence, self.number = map(int, tokens[:3])
        return True


def lead_of(subject: bytes) -> bytes:
    """What the acknowledgements of one consumer have in common, up to the numbers; b"" where it is none of version 1,
    which all but those of version 2 are.
    """
    if not begins_at(subject, 0, len(subject), PREFIX) or count_tokens(subject) != TOKENS:
        return b""
    return subject[: skip_tokens(subject, LEAD)]


def skip_tokens(subject: bytes, count: int) -> int:
    """Where the token behind so many begins; there must be one."""
    at = 0
    while count:
        at = subject.index(b".", at) + 1 if not cython.compiled else find_byte(subject, DOT, at, len(subject)) + 1
        count -= 1
    return at


def count_tokens(subject: bytes) -> int:
    if not cython.compiled:
        return subject.count(b".") + 1
    count = 1
    for byte in subject:
        if byte == DOT:
            count += 1
    return count


def make_reply(lead: bytes, deliveries: int, sequence: int, number: int, time_ns: int, left: int) -> bytes:
    """Such a subject, behind a lead with its dot. No number is negative."""
    if not cython.compiled:
        return b"%b%d.%d.%d.%d.%d" % (lead, deliveries, sequence, number, time_ns, left)
    size = len(lead) + digits_of(deliveries) + digits_of(sequence) + digits_of(number) + digits_of(time_ns)
    size += digits_of(left) + DOTS
    if size > len(scratch):
        return b"%b%d.%d.%d.%d.%d" % (lead, deliveries, sequence, number, time_ns, left)
    copy_into(scratch, 0, lead)
    at = write_number(scratch, len(lead), deliveries)
    scratch[at] = DOT
    at = write_number(scratch, at + 1, sequence)
    scratch[at] = DOT
    at = write_number(scratch, at + 1, number)
    scratch[at] = DOT
    at = write_number(scratch, at + 1, time_ns)
    scratch[at] = DOT
    at = write_number(scratch, at + 1, left)
    return cut_buffer(scratch, at)


# Where a subject is put together; longer ones are made another way.
scratch = bytearray(1024)
