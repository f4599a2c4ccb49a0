"""Store and forward: what is kept on the disk for a hub until that has it."""
