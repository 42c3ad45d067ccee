"""Stands in for systemd on a machine of the netns driver: reads the same unit files, understands the same verbs.

What it does not know (dependencies, sockets, timers, sandboxing) no unit of a lab needs.
"""
