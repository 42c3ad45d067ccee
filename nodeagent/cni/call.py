"""One call of a plugin: the environment and stdin in, an exit code and stdout out (SPEC 1.1, section 2).

`answer` touches neither the process's environment nor its streams, so that a daemon can serve calls that came over a
socket with the same code.
"""

from __future__ import annotations

from nodeagent.netlink import namespaces

from . import errors, jsontext, results
from .errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Result = dict[str, Any]
    Command = Callable[["Call"], Result | None]

# The variables that each command needs, in the order in which a missing one is told.
_NEEDED = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"),
    "GC": ("CNI_PATH",),
    "STATUS": ("CNI_PATH",),
}
# The first version of the specification with the command.
_SINCE = {"CHECK": (0, 4, 0), "GC": (1, 1, 0), "STATUS": (1, 1, 0)}
_NAME_REST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_NAME_FIRST = _NAME_REST - set("_.-")
_GO_SPELLED = ("portMappings", "bandwidth", "ipRanges")
_INTERFACE_MAX = 15  # IFNAMSIZ less the NUL


class Call:
    """What the runtime asks. config: the network configuration as given; args: CNI_ARGS split."""

    __slots__ = ("args", "config", "container", "interface", "netns", "network", "path", "version")

    def __init__(self, environment: Mapping[str, str], config: Result) -> None:
        self.config = (
            {**config, "runtimeConfig": _runtime(config["runtimeConfig"])} if "runtimeConfig" in config else config
        )
        self.version = config.get("cniVersion") or "0.1.0"
        self.network: str = config["name"]
        self.container = environment.get("CNI_CONTAINERID", "")
        self.netns = environment.get("CNI_NETNS", "")
        self.interface = environment.get("CNI_IFNAME", "")
        self.path = environment.get("CNI_PATH", "")
        self.args = arguments(environment.get("CNI_ARGS", ""))

    def valid_attachments(self) -> set[tuple[str, str]]:
        """(container, interface) pairs that GC is to keep (SPEC 1.1, GC). Raises CniError where none are told."""
        valid = self.config.get("cni.dev/valid-attachments", self.config.get("cni.dev/attachments"))
        if not isinstance(valid, list):
            raise CniError(errors.INVALID_CONFIG, "GC without cni.dev/valid-attachments")
        return {(str(entry.get("containerID")), str(entry.get("ifname"))) for entry in valid}


class Plugin:
    """A plugin's commands. One without CHECK, GC or STATUS has nothing to say to them, which is success."""

    __slots__ = ("about", "commands")

    def __init__(self, about: str, **commands: Command) -> None:
        self.about, self.commands = about, commands


def answer(plugin: Plugin, environment: Mapping[str, str], stdin: Callable[[], bytes]) -> tuple[int, bytes]:
    """Carry out one call; returns (exit code, stdout). Every refusal is the specification's error object."""
    version = results.SUPPORTED_VERSIONS[-1]
    try:
        command = environment.get("CNI_COMMAND", "")
        if command == "VERSION":
            return 0, jsontext.dumps({"cniVersion": version, "supportedVersions": list(results.SUPPORTED_VERSIONS)})
        _check_environment(command, environment)
        config = _configuration(stdin())
        if isinstance(config.get("cniVersion"), str):
            version = config["cniVersion"]
        call = Call(environment, config)
        result = _carry_out(plugin, command, call, environment)
        return 0, b"" if result is None else jsontext.dumps(results.for_version(result, call.version))
    except CniError as error:
        return 1, jsontext.dumps(error.to_object(version))
    except namespaces.NamespaceGone as error:
        refusal = CniError(errors.UNKNOWN_CONTAINER, f"failed to open netns {error.filename or ''!r}: {error.strerror}")
        return 1, jsontext.dumps(refusal.to_object(version))
    except OSError as error:
        refusal = CniError(errors.IO_FAILURE, str(error.strerror or error), error.filename or "")
        return 1, jsontext.dumps(refusal.to_object(version))
    except Exception as error:
        refusal = CniError(errors.INTERNAL, f"{type(error).__name__}: {error}")
        return 1, jsontext.dumps(refusal.to_object(version))


def _carry_out(plugin: Plugin, command: str, call: Call, environment: Mapping[str, str]) -> Result | None:
    if command in _SINCE and results.version_tuple(call.version) < _SINCE[command]:
        raise CniError(errors.INCOMPATIBLE_VERSION, f"config version does not allow {command}")
    results.check_version(call.version)
    own = environment.get("CNI_NETNS_OVERRIDE", "").upper() not in ("1", "TRUE") and namespaces.is_own(call.netns)
    if command in ("ADD", "DEL") and call.netns and own:
        # Before anything is done: acting on it would take the machine's own interfaces.
        raise CniError(errors.INVALID_NETNS, "plugin's netns and netns from CNI_NETNS should not be the same")
    carry_out = plugin.commands.get(command)
    return carry_out(call) if carry_out else None


def _check_environment(command: str, environment: Mapping[str, str]) -> None:
    if not command:
        raise CniError(errors.INVALID_ENVIRONMENT, "required env variables [CNI_COMMAND] missing")
    if command not in _NEEDED:
        raise CniError(errors.INVALID_ENVIRONMENT, f"unknown CNI_COMMAND: {command}")
    needed = _NEEDED[command]
    missing = [name for name in needed if not environment.get(name)]
    if missing:
        raise CniError(errors.INVALID_ENVIRONMENT, f"required env variables [{','.join(missing)}] missing")
    if "CNI_CONTAINERID" in needed:
        container = environment["CNI_CONTAINERID"]
        if not _is_name(container):
            raise CniError(errors.INVALID_ENVIRONMENT, "invalid characters in containerID", container)
        _check_interface(environment["CNI_IFNAME"])


def _check_interface(name: str) -> None:
    if len(name) > _INTERFACE_MAX:
        raise CniError(errors.INVALID_ENVIRONMENT, f"interface name is too long, max {_INTERFACE_MAX} characters", name)
    if name in (".", ".."):
        raise CniError(errors.INVALID_ENVIRONMENT, "interface name is . or ..", name)
    if any(letter in "/:" or letter.isspace() for letter in name):
        raise CniError(errors.INVALID_ENVIRONMENT, "interface name contains / or : or whitespace characters", name)


def _configuration(data: bytes) -> Result:
    try:
        config = jsontext.loads(data)
    except ValueError as error:
        raise CniError(errors.DECODING_FAILURE, f"error unmarshall network config: {error}") from None
    if not isinstance(config, dict):
        raise CniError(errors.DECODING_FAILURE, "error unmarshall network config: not an object")
    name = config.get("name")
    if not name:
        raise CniError(errors.INVALID_CONFIG, "missing network name")
    if not isinstance(name, str) or not _is_name(name):
        raise CniError(errors.INVALID_CONFIG, "invalid characters found in network name", str(name))
    if not isinstance(config.get("cniVersion", ""), str):
        raise CniError(errors.DECODING_FAILURE, "decoding version from network config: not a string")
    return config


def _runtime(told: object) -> Result:
    """What the runtime gives for capabilities, with names as the conventions spell them: containerd writes HostPort and
    IngressRate, and plugins in Go read names without regard to case."""
    if not isinstance(told, dict):
        return {}
    return {key: _spelled(value) if key in _GO_SPELLED else value for key, value in told.items()}


def _spelled(value: Any) -> Any:
    if isinstance(value, list):
        return [_spelled(item) for item in value]
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: item for key, item in value.items()}
    return value


def _is_name(text: str) -> bool:
    return text[0] in _NAME_FIRST and all(letter in _NAME_REST for letter in text)


def arguments(text: str) -> dict[str, str]:
    """CNI_ARGS: `KEY=value;KEY=value`. Keys that a plugin does not know are none of its business."""
    found = {}
    for pair in filter(None, text.split(";")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise CniError(errors.INVALID_ENVIRONMENT, f'ARGS: invalid pair "{pair}"')
        found[key] = value
    return found
