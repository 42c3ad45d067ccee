"""One manifest as a pod, refused in upstream's words (pkg/kubelet/config/common.go)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import orjson

from apimachinery.kit.go_json import escaped
from apimachinery.meta.go_print import plain
from apimachinery.meta.yaml_text import BadYaml, load
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

Finish = Callable[[Pod], list[str]]
"""Applies the API's defaults to a pod in place and returns what is wrong with it."""

_SCHEME = "pkg/api/legacyscheme/scheme.go:30"


class BadManifest(Exception):
    """A file that holds no valid pod, in upstream's words."""


def parse_manifest(text: str | bytes, source: str, node: str, finish: Finish) -> Pod:
    """The pod of one manifest, as the kubelet runs it. source: the file's path. Raises BadManifest.

    Name, uid and annotations are made as upstream does: the uid is a hash of the node, the file and its content, so the
    same file is the same pod after a restart and a changed file is another pod, unless the file itself says the uid.
    """
    try:
        pod = _decode(load(text))
    except (BadYaml, _NoPod) as error:
        raise BadManifest(f"{source}: couldn't parse as pod({error}), please check config file") from error
    digest = hashlib.md5(usedforsecurity=False)
    digest.update(f"host:{node}file:{source}".encode())
    digest.update(json.dumps(pod, sort_keys=True).encode())
    metadata, spec = pod.setdefault("metadata", {}), pod.setdefault("spec", {})
    metadata["uid"] = str(metadata.get("uid") or digest.hexdigest())
    metadata["name"] = f"{metadata.get('name') or ''}-{node.lower()}"
    metadata["namespace"] = metadata.get("namespace") or "default"
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        pods.CONFIG_HASH: metadata["uid"],
        pods.CONFIG_SOURCE: "file",
    }
    spec["nodeName"] = node
    tolerations = spec.setdefault("tolerations", [])
    everything = {"operator": "Exists", "effect": "NoExecute"}
    if everything not in tolerations:
        tolerations.append(everything)
    pod["status"] = {"phase": "Pending"}
    if problems := finish(pod):
        raise BadManifest(f"invalid pod: {plain(problems)}")
    return pod


class _NoPod(ValueError):
    """What Go's decoder says of a document that is no Pod."""


def _decode(document: Any) -> Pod:
    """A Pod with values of the right types and no fields that are not known. Raises _NoPod."""
    # Read, and given back, for each file: nothing else of a kubelet needs it, and files change seldom.
    from apimachinery.api.schema import Schema

    if document is not None and not isinstance(document, dict):
        raise _NoPod(f"couldn't get version/kind; json parse error: {_kind(document)} is no object")
    given: Pod = document or {}
    version, kind = (str(given.get(field) or "") for field in ("apiVersion", "kind"))
    for field, said in (("Kind", kind), ("apiVersion", version)):
        if not said:
            raise _NoPod(f"Object '{field}' is missing in '{_json(document)}'")
    if (version, kind) != ("v1", "Pod"):
        group, _, word = version.rpartition("/")
        if (group, word, kind) in Schema():
            raise _NoPod(f"invalid pod: a {kind} of {version}")
        raise _NoPod(f'no kind "{kind}" is registered for version "{version}" in scheme "{_SCHEME}"')
    found = Schema().decode_part("io.k8s.api.core.v1.Pod", given)
    if found.error is not None:
        raise _NoPod(found.error)
    return found.object


def _json(document: Any) -> str:
    return escaped(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).decode()


def _kind(document: Any) -> str:
    return {list: "array", str: "string", bool: "bool"}.get(type(document), "number")
