"""The torture of an uplink that stores and forwards: publishers, faults, and the ledger that compares."""
