"""The network configuration of the bridge plugin, checked."""

from __future__ import annotations

from .errors import INVALID_CONFIG, UNSUPPORTED_FIELD, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .call import Call

DEFAULT_BRIDGE = "cni0"
# The reference's fields that we do not carry out. Ignoring one would give a network other than the one asked for.
_UNSUPPORTED = ("vlan", "vlanTrunk", "disableContainerInterface", "portIsolation")
_MTU_MAX = 65535


class BridgeConfig:
    """Names and meanings are the reference's. mtu: bytes, 0 = that of the machine's uplink. mac: of the container's
    interface, empty = the kernel's choice. port_mappings: hostPorts, when the runtime knows the capability; host_ports:
    whether pods of this network may have any; bandwidth: rates, as hostPorts. mac_check (`macspoofchk`): the pod sends
    from its own hardware address only; address_check (`spoofCheck`, not the reference's): from its own addresses."""

    __slots__ = (
        "address_check", "bandwidth", "bridge", "default_gateway", "dns", "force_address", "gateway", "hairpin",
        "host_ports", "mac", "mac_check", "masquerade", "mtu", "port_mappings", "promiscuous",
    )  # fmt: skip

    def __init__(self, call: Call) -> None:
        config = call.config
        for field in _UNSUPPORTED:
            if config.get(field):
                raise CniError(UNSUPPORTED_FIELD, f"kubelab-bridge does not support {field}")
        self.bridge = _text(config, "bridge") or DEFAULT_BRIDGE
        if len(self.bridge) > 15 or any(letter in "/:" or letter.isspace() for letter in self.bridge):
            raise CniError(INVALID_CONFIG, f"invalid bridge name {self.bridge!r}")
        self.default_gateway = _flag(config, "isDefaultGateway")
        self.gateway = _flag(config, "isGateway") or self.default_gateway
        self.force_address = _flag(config, "forceAddress")
        self.masquerade = _flag(config, "ipMasq")
        self.hairpin = _flag(config, "hairpinMode")
        self.promiscuous = _flag(config, "promiscMode")
        self.address_check, self.mac_check = _flag(config, "spoofCheck"), _flag(config, "macspoofchk")
        if self.hairpin and self.promiscuous:
            raise CniError(INVALID_CONFIG, "cannot set hairpin mode and promiscuous mode at the same time")
        mtu = config.get("mtu") or 0
        if not isinstance(mtu, int) or not 0 <= mtu <= _MTU_MAX:
            raise CniError(INVALID_CONFIG, f"invalid MTU {mtu!r} (must be between 0 and {_MTU_MAX})")
        self.mtu = mtu
        kind = (config.get("ipam") or {}).get("type")
        if kind != "host-local":
            raise CniError(INVALID_CONFIG, f"kubelab-bridge takes addresses from host-local only, not from {kind!r}")
        runtime = config.get("runtimeConfig") or {}
        arguments = (config.get("args") or {}).get("cni") or {}
        self.mac: str = runtime.get("mac") or arguments.get("mac") or call.args.get("MAC", "")
        self.port_mappings: list[dict[str, Any]] = runtime.get("portMappings") or []
        self.host_ports = bool(self.port_mappings or (config.get("capabilities") or {}).get("portMappings"))
        self.bandwidth: dict[str, Any] = runtime.get("bandwidth") or {}
        self.dns: dict[str, Any] = config.get("dns") or {}


def _flag(config: dict[str, Any], name: str) -> bool:
    value = config.get(name, False)
    if not isinstance(value, bool):
        raise CniError(INVALID_CONFIG, f"{name} must be true or false")
    return value


def _text(config: dict[str, Any], name: str) -> str:
    value = config.get(name, "")
    if not isinstance(value, str):
        raise CniError(INVALID_CONFIG, f"{name} must be a string")
    return value
