"""Configurations of other servers, read and written as ours."""
