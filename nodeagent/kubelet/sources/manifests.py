"""One manifest as a pod, refused in upstream's words (pkg/kubelet/config/common.go)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from apimachinery.meta.yaml_text import BadYaml, load
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

Finish = Callable[[Pod], list[str]]
"""Applies the API's defaults to a pod in place and returns what is wrong with it."""

_TYPE_META = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
_IN_HTML = str.maketrans({"&": r"\u0026", "<": r"\u003c", ">": r"\u003e"})  # encoding/json writes them so


class BadManifest(Exception):
    """A file that holds no valid pod."""


def parse_manifest(text: str, source: str, node: str, finish: Finish) -> Pod:
    """The pod of one manifest, as the kubelet runs it. source: the file's path. Raises BadManifest.

    Name, uid and annotations are made as upstream does: the uid is a hash of the node, the file and its content, so the
    same file is the same pod after a restart and a changed file is another pod, unless the file itself says the uid.
    Fields that a pod has not are passed over.
    """
    try:
        loaded = load(text)
        digest = hashlib.md5(usedforsecurity=False)
        digest.update(f"host:{node}file:{source}".encode())
        digest.update(json.dumps(loaded, sort_keys=True).encode())
        pod = _decoded(loaded)
    except (BadYaml, _NotAPod) as error:
        raise BadManifest(f"{source}: couldn't parse as pod({error}), please check config file") from error
    metadata = pod.setdefault("metadata", {})
    if not metadata.get("name"):
        raise BadManifest("invalid pod: name is needed for the pod")
    metadata["uid"] = str(metadata.get("uid") or digest.hexdigest())
    metadata["name"] = f"{metadata['name']}-{node.lower()}"
    metadata.setdefault("namespace", "default")
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        pods.CONFIG_HASH: metadata["uid"],
        pods.CONFIG_SOURCE: "file",
    }
    spec = pod.setdefault("spec", {})
    spec["nodeName"] = node
    tolerations = spec.setdefault("tolerations", [])
    everything = {"operator": "Exists", "effect": "NoExecute"}
    if everything not in tolerations:
        tolerations.append(everything)
    pod["status"] = {"phase": "Pending"}
    problems = finish(pod)
    if problems:
        raise BadManifest(f"invalid pod: [{' '.join(problems)}]")
    return pod


class _NotAPod(ValueError):
    """What Go's decoder says of a document that is no pod."""


def _decoded(document: Any) -> Pod:
    # Imported here: a node without manifests does not pay for the API's rules.
    from apimachinery.api.schema import SCHEMA

    if document is not None and not isinstance(document, dict):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(document), "number")
        why = f"json: cannot unmarshal {kind} into Go value of type {_TYPE_META}"
        raise _NotAPod(f"couldn't get version/kind; json parse error: {why}")
    said = document or {}
    for key, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not said.get(key):
            raise _NotAPod(f"Object '{shown}' is missing in '{_as_json(document)}'")
    group, _, version = str(said["apiVersion"]).rpartition("/")
    if (group, version, said["kind"]) not in SCHEMA:
        known = f'no kind "{said["kind"]}" is registered for version "{said["apiVersion"]}"'
        raise _NotAPod(f'{known} in scheme "pkg/api/legacyscheme/scheme.go:30"')
    if (group, version, said["kind"]) != ("", "v1", "Pod"):
        raise _NotAPod(f"invalid pod: &{group.partition('.')[0] or 'core'}.{said['kind']}{{…}}")
    found = SCHEMA.decode(("", "v1", "Pod"), said)
    if found.error is not None:
        raise _NotAPod(found.error)
    return found.object


def _as_json(document: Any) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).translate(_IN_HTML)
