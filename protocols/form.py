"""Stand-in for the `cython` module in the pure form, so that Cython is no run-time dependency."""

compiled = False
