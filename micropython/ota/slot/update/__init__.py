"""Over-the-air update: a signed manifest, changed files only, into the slot that does not run."""
