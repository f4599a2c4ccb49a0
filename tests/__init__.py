"""The tests are a package of their own: some peers install one of the same name, which must not stand before it."""
