"""The torture of streams: publishers, consumers and key-value clients, faults, and the ledger that compares."""
