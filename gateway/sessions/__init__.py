"""One session kind per kind of peer: what a peer's events mean."""
