"""Accounts: each with a router and a subject tree of its own."""
