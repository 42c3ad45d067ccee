"""Defaults of volumes, claims and storage classes (pkg/apis/{core,storage}/v1/defaults.go)."""

from apimachinery.api.defaults.fill import Object, part, round_up, when_absent, when_empty


def persistent_volume(obj: Object) -> None:
    """A PersistentVolume: kept after release, a file system, pending."""
    spec = part(obj, "spec")
    when_empty(spec, persistentVolumeReclaimPolicy="Retain")
    when_absent(spec, volumeMode="Filesystem")
    round_up(spec, "capacity")
    when_empty(part(obj, "status"), phase="Pending")
    source(spec)


def source(volume: Object) -> None:
    """The source of a volume, of a pod's or of a PersistentVolume: what both have."""
    if "hostPath" in volume:
        when_absent(volume["hostPath"], type="")
    if "iscsi" in volume:
        when_empty(volume["iscsi"], iscsiInterface="default")
    if "rbd" in volume:
        when_empty(volume["rbd"], pool="rbd", user="admin", keyring="/etc/ceph/keyring")
    if "azureDisk" in volume:
        when_absent(volume["azureDisk"], cachingMode="ReadWrite", kind="Shared", fsType="ext4", readOnly=False)
    if "scaleIO" in volume:
        when_empty(volume["scaleIO"], storageMode="ThinProvisioned", fsType="xfs")


def persistent_volume_claim(obj: Object) -> None:
    """A PersistentVolumeClaim: a file system, pending."""
    claim_spec(part(obj, "spec"))
    status = part(obj, "status")
    when_empty(status, phase="Pending")
    round_up(status, "capacity", "allocatedResources")


def claim_spec(spec: Object) -> None:
    """The spec of a claim, also in a template."""
    when_absent(spec, volumeMode="Filesystem")
    round_up(spec.get("resources"), "limits", "requests")


def storage_class(obj: Object) -> None:
    """A StorageClass: volumes are deleted with their claim and bound at once."""
    when_absent(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def csi_driver(obj: Object) -> None:
    """A CSIDriver."""
    spec = part(obj, "spec")
    when_absent(
        spec,
        attachRequired=True,
        podInfoOnMount=False,
        storageCapacity=False,
        fsGroupPolicy="ReadWriteOnceWithFSType",
        requiresRepublish=False,
        seLinuxMount=False,
    )
    when_empty(spec, volumeLifecycleModes=["Persistent"])
