"""Reloading: the configuration is read again while the gateway runs, checked whole, and put in force or refused."""
