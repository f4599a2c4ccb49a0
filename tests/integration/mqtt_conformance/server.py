"""What the server under test is configured with, for tests that go to its limits."""

MAX_INFLIGHT = 20
MAX_PACKET = 100_000
MAX_KEEP_ALIVE = 600
