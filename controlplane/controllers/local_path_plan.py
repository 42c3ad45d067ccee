"""Volumes that are directories of a node: the PersistentVolume and the helper pods. Pure.

The shape is that of rancher/local-path-provisioner, which small clusters use: a directory
`pvc-UID_namespace_claim` under the class's path, made and removed by a short-lived pod on that node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from apimachinery.meta import objects, provisioning, volumes
from apimachinery.meta.provisioning import FINALIZER, is_asked, volume_name

Object = dict[str, Any]

PROVISIONER = "kubelab.io/local-path"
DEFAULT_PATH = "/opt/local-path-provisioner"
PATH_PARAMETER, IMAGE_PARAMETER = "nodePath", "helperImage"
DEFAULT_IMAGE = "docker.io/library/busybox:latest"
HELPERS_NAMESPACE = "kube-system"
_MODES = frozenset(("ReadWriteOnce", "ReadWriteOncePod"))
CREATE, DELETE = "helper-pod-create-", "helper-pod-delete-"
IMAGE_ANNOTATION = f"{PROVISIONER}-helper-image"
CLAIM_ANNOTATION, VOLUME_ANNOTATION = "kubelab.io/claim", "kubelab.io/volume"


class Refusal(Exception):
    """The claim asks for what a directory of a node cannot give. The text goes into ProvisioningFailed."""


def is_ours(claim: Object) -> bool:
    """Whether the binder asks us for a volume for this claim."""
    return is_asked(claim, PROVISIONER)


def check(claim: Object, storage_class: Object) -> None:
    """Raises Refusal."""
    spec = claim["spec"]
    if spec.get("selector") is not None:
        raise Refusal("claim.Spec.Selector is not supported")
    if not set(spec.get("accessModes") or ()) <= _MODES:
        raise Refusal("NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes")
    if volumes.mode(claim) == "Block":
        raise Refusal("Volume mode Block is not supported")
    if volumes.SELECTED_NODE not in objects.annotations(claim):
        raise Refusal("configuration error, no node was specified")
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        raise Refusal("data sources are not supported")
    _base(storage_class)


def directory(claim: Object, storage_class: Object) -> str:
    """The volume's directory on the node. Raises Refusal for a class whose path is not absolute or is the root."""
    name = f"{volume_name(claim)}_{objects.namespace(claim)}_{objects.name(claim)}"
    return str(_base(storage_class) / name)


def _base(storage_class: Object) -> PurePosixPath:
    path = PurePosixPath((storage_class.get("parameters") or {}).get(PATH_PARAMETER) or DEFAULT_PATH)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
        raise Refusal(f"invalid {PATH_PARAMETER} {str(path)!r}")
    return path


def render_volume(claim: Object, storage_class: Object, node: Object) -> Object:
    """The PersistentVolume for a claim, on a node, set aside for the claim."""
    hostname = objects.labels(node).get("kubernetes.io/hostname") or objects.name(node)
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [hostname]}
    spec: Object = {
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "accessModes": list(claim["spec"].get("accessModes") or ()),
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": objects.name(storage_class),
        "volumeMode": "Filesystem",
        "claimRef": volumes.claim_reference(claim),
        "local": {"path": directory(claim, storage_class)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
    }
    if storage_class.get("mountOptions"):
        spec["mountOptions"] = list(storage_class["mountOptions"])
    annotations = {
        volumes.PROVISIONED_BY: PROVISIONER,
        volumes.SELECTED_NODE: objects.name(node),
        IMAGE_ANNOTATION: image(storage_class),
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name(claim), "annotations": annotations, "finalizers": [FINALIZER]},
        "spec": spec,
    }


def image(storage_class: Object) -> str:
    """The image of the helper pods of a class."""
    return str((storage_class.get("parameters") or {}).get(IMAGE_PARAMETER) or DEFAULT_IMAGE)


def is_to_be_deleted(volume: Object) -> bool:
    """Whether one of our volumes is released and its directory is to go, or is only still there because of it."""
    return bool(volume["spec"].get("local")) and provisioning.is_to_be_deleted(volume, PROVISIONER)


def render_creator(claim: Object, volume: Object, node: str) -> Object:
    """The pod that makes the volume's directory on the node. It carries the volume, should the claim go meanwhile."""
    script = 'set -eu; mkdir -m 0777 -p "$VOL_DIR"; chmod 0777 "$VOL_DIR"'
    about = {CLAIM_ANNOTATION: objects.key(claim), VOLUME_ANNOTATION: json.dumps(volume)}
    wanted, path = objects.annotations(volume)[IMAGE_ANNOTATION], volume["spec"]["local"]["path"]
    return _helper(CREATE + objects.name(volume), node, path, script, wanted, about)


def render_remover(volume: Object, node: str) -> Object:
    """The pod that removes the volume's directory from its node."""
    wanted = objects.annotations(volume).get(IMAGE_ANNOTATION) or DEFAULT_IMAGE
    path = volume["spec"]["local"]["path"]
    return _helper(DELETE + objects.name(volume), node, path, 'rm -rf "$VOL_DIR"', wanted, {})


def _helper(name: str, node: str, path: str, script: str, wanted: str, annotations: Mapping[str, str]) -> Object:
    """It sees the directory's parent and nothing else of the node."""
    parent = str(PurePosixPath(path).parent)
    container = {
        "name": "helper-pod",
        "image": wanted,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script],
        "env": [{"name": "VOL_DIR", "value": path}],
        "volumeMounts": [{"name": "data", "mountPath": parent}],
    }
    spec: Object = {
        "nodeName": node,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": True,
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "data", "hostPath": {"path": parent, "type": "DirectoryOrCreate"}}],
    }
    labels = {"app.kubernetes.io/name": "local-path-helper"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": HELPERS_NAMESPACE,
            "labels": labels,
            "annotations": dict(annotations),
        },
        "spec": spec,
    }
