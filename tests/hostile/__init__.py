"""Requests that nobody should send, by the hundred thousand. `python -m tests.hostile --help`."""
