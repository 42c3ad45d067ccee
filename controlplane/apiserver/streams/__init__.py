"""Requests that are handed on to a node agent: logs, exec, attach, port-forward, proxy."""
