"""Refusals of a plugin, as the CNI specification numbers them (SPEC 1.1, "Error")."""

from __future__ import annotations

INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
UNKNOWN_CONTAINER = 3
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODING_FAILURE = 6
INVALID_CONFIG = 7
INVALID_NETNS = 8
TRY_AGAIN_LATER = 11
PLUGIN_NOT_AVAILABLE = 50
LIMITED_CONNECTIVITY = 51
# From 100 on the codes are the plugin's own.
NO_ADDRESS = 100
ADDRESS_TAKEN = 101
INTERFACE_MISMATCH = 102
NETFILTER = 103
INTERNAL = 999


class CniError(Exception):
    """A refusal to be printed as the specification's error object. msg: a sentence; details: more, for a log."""

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(msg)
        self.code, self.msg, self.details = code, msg, details

    def to_object(self, cni_version: str) -> dict[str, object]:
        found: dict[str, object] = {"cniVersion": cni_version, "code": self.code, "msg": self.msg}
        if self.details:
            found["details"] = self.details
        return found
