"""PersistentVolumes and their claims (pkg/registry/core/persistentvolume{,claim})."""

from __future__ import annotations

from apimachinery.meta import times
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.strategies.base import Now, Object, Strategy

_SOURCES = (("PersistentVolumeClaim", ""), ("VolumeSnapshot", "snapshot.storage.k8s.io"))


class VolumeStrategy(Strategy):
    """`persistentvolumes`: born Pending; the status tells when the phase last changed."""

    def __init__(self, *arguments: object, now: Now) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._now = now

    def prepare_create(self, call: Call, obj: Object) -> None:
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": times.rfc3339(self._now())}

    def prepare_status(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_status(call, new, old)
        status, before = new.setdefault("status", {}), old.get("status") or {}
        same_time = status.get("lastPhaseTransitionTime") in (None, before.get("lastPhaseTransitionTime"))
        if status.get("phase") != before.get("phase") and same_time:
            status["lastPhaseTransitionTime"] = times.rfc3339(self._now())


class ClaimStrategy(Strategy):
    """`persistentvolumeclaims`: born Pending; both fields that name a source of data say the same."""

    def prepare_create(self, call: Call, obj: Object) -> None:
        super().prepare_create(call, obj)
        self._own_namespace(obj)
        _known_source(obj)
        _one_source(obj)

    def prepare_update(self, call: Call, new: Object, old: Object) -> None:
        super().prepare_update(call, new, old)
        before = old.get("spec") or {}
        if before.get("dataSourceRef") is None:
            self._own_namespace(new)
            if before.get("dataSource") is None:
                _known_source(new)
        _one_source(new)

    def _own_namespace(self, obj: Object) -> None:
        """A source in another namespace is dropped while the gate for it is closed (KEP-3294)."""
        spec = obj.get("spec") or {}
        if (spec.get("dataSourceRef") or {}).get("namespace") and not self.gates.get("CrossNamespaceVolumeDataSource"):
            del spec["dataSourceRef"]


def _known_source(obj: Object) -> None:
    """`dataSource` is dropped unless it names a claim or a snapshot: it was so before `dataSourceRef`, which names
    anything; who gives both knows that (KEP-1495)."""
    spec = obj.get("spec") or {}
    source = spec.get("dataSource")
    if (
        spec.get("dataSourceRef") is None
        and source is not None
        and (source.get("kind"), source.get("apiGroup") or "") not in _SOURCES
    ):
        del spec["dataSource"]


def _one_source(obj: Object) -> None:
    spec = obj.get("spec") or {}
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {field: value for field, value in reference.items() if field != "namespace"}
