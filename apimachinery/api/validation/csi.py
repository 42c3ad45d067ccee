"""What CSI drivers say of themselves: CSIDrivers, CSINodes, CSIStorageCapacities (pkg/apis/storage/validation)."""

from typing import Any

from apimachinery.api.validation.checks import (
    NEGATIVE,
    Object,
    dns_subdomain,
    immutable,
    label_selector,
    nonnegative,
    qualified_name,
    same,
    sentences,
)
from apimachinery.api.validation.go_values import go_list, go_pointer, go_selector, go_strings
from apimachinery.api.validation.syntax import token_requests
from apimachinery.meta import names, quantity
from apimachinery.meta.paths import Path, Problem, Verbatim, duplicate, invalid, not_supported, required, too_long

_SPEC = Path("spec")
_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_MODES = ("Persistent", "Ephemeral")
_MAX_NAME = 63
_MAX_NODE_ID = 256
# Each field that must be set, and the name upstream's paths give it.
_BEFORE_POLICY = (
    ("attachRequired", "attachedRequired"),
    ("podInfoOnMount", "podInfoOnMount"),
    ("storageCapacity", "storageCapacity"),
)


def driver_name(name: str, path: Path) -> list[Problem]:
    """The name of a driver: a domain of at most 63 bytes, of any case."""
    problems = [] if name else [required(path)]
    if len(name.encode()) > _MAX_NAME:
        problems.append(too_long(path, _MAX_NAME))
    return problems + sentences(names.dns1123_subdomain(name.lower()), name, path)


def csi_driver(obj: Object) -> list[Problem]:
    """A CSIDriver."""
    spec = obj.get("spec") or {}
    problems = [required(_SPEC.child(shown)) for field, shown in _BEFORE_POLICY if spec.get(field) is None]
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in _GROUP_POLICIES:
        problems.append(not_supported(_SPEC.child("fsGroupPolicy"), policy, _GROUP_POLICIES))
    problems += token_requests(spec.get("tokenRequests") or [], _SPEC.child("tokenRequests"))
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _MODES:
            problems.append(not_supported(_SPEC.child("volumeLifecycleModes"), mode, _MODES))
    return problems + ([required(_SPEC.child("seLinuxMount"))] if spec.get("seLinuxMount") is None else [])


def csi_driver_update(new: Object, old: Object) -> list[Problem]:
    """Whether it attaches, and for which volumes it is, stay."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    modes = after.get("volumeLifecycleModes")
    return immutable(
        after.get("attachRequired"), before.get("attachRequired"), _SPEC.child("attachedRequired")
    ) + immutable(
        modes,
        before.get("volumeLifecycleModes"),
        _SPEC.child("volumeLifecycleModes"),
        go_list("storage.VolumeLifecycleMode", modes),
    )


def csi_node(obj: Object) -> list[Problem]:
    """A CSINode: drivers with names and node ids, each once."""
    problems: list[Problem] = []
    seen: set[str] = set()
    for position, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        where, name, node = _SPEC.child("drivers").index(position), driver.get("name", ""), driver.get("nodeID", "")
        problems += driver_name(name, where.child("name"))
        if not node:
            problems.append(required(where.child("nodeID")))
        elif len(node.encode()) > _MAX_NODE_ID:
            problems.append(invalid(where.child("nodeID"), node, f"must be {_MAX_NODE_ID} characters or less"))
        problems += nonnegative((driver.get("allocatable") or {}).get("count"), where.child("allocatable", "count"))
        if name in seen:
            problems.append(duplicate(where.child("name"), name))
        seen.add(name)
        problems += _keys(driver.get("topologyKeys") or [], where)
    return problems


def csi_node_update(new: Object, old: Object) -> list[Problem]:
    """A driver, once there, stays as it is until it goes."""
    after, before = ((each.get("spec") or {}).get("drivers") or [] for each in (new, old))
    return [
        invalid(Path("CSINodeDriver"), _go_driver(driver), "field is immutable")
        for held in before
        for driver in after
        if driver.get("name") == held.get("name") and not same(driver, held)
    ]


def storage_capacity(obj: Object) -> list[Problem]:
    """A CSIStorageCapacity."""
    problems = label_selector(obj.get("nodeTopology"), Path("nodeTopology"))
    problems += dns_subdomain(obj.get("storageClassName", ""), Path("storageClassName"))
    amount = obj.get("capacity")
    if amount is not None and quantity.parse(amount).nano < 0:
        problems.append(invalid(Path("capacity"), amount, NEGATIVE))
    return problems


def storage_capacity_update(new: Object, old: Object) -> list[Problem]:
    """Where it is, and of which class, stay."""
    topology, name = new.get("nodeTopology"), new.get("storageClassName", "")
    shown = None if topology is None else go_selector(topology)
    problems = immutable(topology, old.get("nodeTopology"), Path("nodeTopology"), shown)
    return problems + immutable(name, old.get("storageClassName", ""), Path("storageClassName"))


def _keys(keys: list[str], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    for position, key in enumerate(keys):
        if not key:
            problems.append(required(path))
        if key in keys[:position]:
            problems.append(duplicate(path, key))
        problems += qualified_name(key, path)
    return problems


def _go_driver(driver: dict[str, Any]) -> Verbatim:
    allocatable = go_pointer("storage.VolumeNodeResources", driver.get("allocatable"))
    return Verbatim(
        f'storage.CSINodeDriver{{Name:"{driver.get("name", "")}", NodeID:"{driver.get("nodeID", "")}", '
        f"TopologyKeys:{go_strings(driver.get('topologyKeys'))}, Allocatable:{allocatable}}}"
    )
