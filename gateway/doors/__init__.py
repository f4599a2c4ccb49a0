"""Who comes in: a listener each, and what becomes of a peer that arrives."""
