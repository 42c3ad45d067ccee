"""Amounts that are no whole bytes, claims and volumes of the past (pkg/api/persistentvolume{,claim})."""

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.api.warnings.labels import selector_term
from apimachinery.meta import quantity
from apimachinery.meta.paths import Path

Object = Mapping[str, Any]

_CLASS = "volume.beta.kubernetes.io/storage-class"
_MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"
_OLD_CLASS = 'deprecated since v1.8; use "storageClassName" attribute instead'
_GONE = (
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
)


def fractional(amounts: Object | None, path: Path, only: str = "") -> Iterator[str]:
    """Memory or storage with a fraction of a byte. only: look at this resource alone."""
    for name in (only,) if only else ("memory", "ephemeral-storage"):
        yield from _fraction(amounts, name, path)


def claim_spec(spec: Object, path: Path) -> Iterator[str]:
    """The spec of a claim."""
    resources = spec.get("resources") or {}
    for kind in ("requests", "limits"):
        yield from _fraction(resources.get(kind), "storage", path.child("resources", kind))


def claim(obj: Object) -> Iterator[str]:
    """A PersistentVolumeClaim."""
    if _CLASS in ((obj.get("metadata") or {}).get("annotations") or {}):
        yield f"{Path('metadata').child('annotations').key(_CLASS)}: {_OLD_CLASS}"
    yield from claim_spec(obj.get("spec") or {}, Path("spec"))


def volume(obj: Object) -> Iterator[str]:
    """A PersistentVolume."""
    spec, annotations = obj.get("spec") or {}, (obj.get("metadata") or {}).get("annotations") or {}
    where = Path("metadata.annotations")
    if _CLASS in annotations:
        yield f"{where.key(_CLASS)}: {_OLD_CLASS}"
    if _MOUNT_OPTIONS in annotations:
        yield f'{where.key(_MOUNT_OPTIONS)}: deprecated since v1.31; use "mountOptions" attribute instead'
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for position, term in enumerate(terms):
        yield from selector_term(term, Path("spec.nodeAffinity.required.nodeSelectorTerms").index(position))
    for field, text in _GONE:
        if spec.get(field) is not None:
            yield f"spec.{field}: {text}"
    for name, amount in (spec.get("capacity") or {}).items():
        if name == "storage":
            yield from _fraction({name: amount}, name, Path("spec.capacity"))


def _fraction(amounts: Object | None, name: str, path: Path) -> Iterator[str]:
    if not amounts or name not in amounts:
        return
    try:
        amount = quantity.parse(amounts[name])
    except ValueError:
        return
    if amount.milli % 1000:
        yield f'{path.key(name)}: fractional byte value "{amount}" is invalid, must be an integer'
