"""Stand-in for the `cython` module in the pure form, so that it is no run-time dependency. `compiled` is all we ask of it."""

compiled = False
