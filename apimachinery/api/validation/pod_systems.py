"""What a pod of one operating system must not ask for (pkg/apis/core/validation)."""

from apimachinery.api.validation.checks import Object
from apimachinery.meta.paths import Path, Problem, forbidden, not_supported, required

_SYSTEMS = ("linux", "windows")
_WINDOWS = "cannot be set for a windows pod"
_LINUX = "windows options cannot be set for a linux pod"
# Fields of a windows pod that are below its securityContext (true) or beside it, in upstream's order.
_POD_FIELDS = (
    ("appArmorProfile", True),
    ("seLinuxOptions", True),
    ("hostUsers", False),
    ("hostPID", False),
    ("hostIPC", False),
    ("seccompProfile", True),
    ("fsGroup", True),
    ("fsGroupChangePolicy", True),
    ("sysctls", True),
    ("shareProcessNamespace", False),
    ("runAsUser", True),
    ("runAsGroup", True),
    ("supplementalGroups", True),
    ("supplementalGroupsPolicy", True),
    ("seLinuxChangePolicy", True),
)
_CONTAINER_FIELDS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)
# In Go these are no pointers: false and an empty list are as good as nothing.
_PLAIN = ("hostPID", "hostIPC", "sysctls")


def operating_system(spec: Object, path: Path) -> list[Problem]:
    """`os` of a pod, and the fields that other systems have."""
    system = spec.get("os")
    if system is None:
        return []
    name, where = system.get("name", ""), path.child("os")
    if not name:
        return [required(where.child("name"), "cannot be empty")]
    if name not in _SYSTEMS:
        return [not_supported(where, name, _SYSTEMS)]
    return _linux(spec, path) if name == "linux" else _windows(spec, path)


def _contexts(spec: Object, path: Path) -> list[tuple[Object, Path]]:
    return [
        (container.get("securityContext") or {}, path.child(kind).index(position).child("securityContext"))
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for position, container in enumerate(spec.get(kind) or ())
    ]


def _linux(spec: Object, path: Path) -> list[Problem]:
    own = (spec.get("securityContext") or {}, path.child("securityContext"))
    return [
        forbidden(where.child("windowsOptions"), _LINUX)
        for context, where in [own, *_contexts(spec, path)]
        if context.get("windowsOptions") is not None
    ]


def _windows(spec: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    context = spec.get("securityContext") or {}
    for field, below in _POD_FIELDS:
        value = (context if below else spec).get(field)
        if value if field in _PLAIN else value is not None:
            where = path.child("securityContext") if below else path
            problems.append(forbidden(where.child(field), _WINDOWS))
    for inner, where in _contexts(spec, path):
        problems += [
            forbidden(where.child(field), _WINDOWS) for field in _CONTAINER_FIELDS if inner.get(field) is not None
        ]
    return problems
