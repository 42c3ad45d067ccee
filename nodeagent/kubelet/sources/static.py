"""Static pods: manifests in a directory, run with or without an API server (pkg/kubelet/config/file_linux.go).

A bad file is reported and leaves the others alone; a pod whose file has become bad keeps running as it was.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from apimachinery.api.catalogue import PODS
from apimachinery.kit.clock import Clock
from apimachinery.meta import times
from apimachinery.meta.yaml_text import BadYaml, load
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod

log = logging.getLogger(__name__)

Finish = Callable[[Pod], list[str]]
"""Applies the API's defaults to a pod in place and returns what is wrong with it."""

_POLL = 1.0


class BadManifest(Exception):
    """A file that holds no valid pod."""


def parse_manifest(text: str, source: str, node: str, finish: Finish) -> Pod:
    """The pod of one manifest, as the kubelet runs it. source: the file's path. Raises BadManifest.

    Name, uid and annotations are made as upstream does: the uid is a hash of the node, the file and its content, so the
    same file is the same pod after a restart and a changed file is another pod, unless the file itself says the uid.
    """
    try:
        loaded = load(text)
    except BadYaml as error:
        raise BadManifest(f"{source}: couldn't parse as pod({error}), please check config file") from error
    if not isinstance(loaded, dict) or loaded.get("kind") != "Pod" or loaded.get("apiVersion") != "v1":
        raise BadManifest(f"{source}: couldn't parse as pod: not a v1 Pod, please check config file")
    pod = _typed(copy.deepcopy(loaded), source)
    metadata = pod.setdefault("metadata", {})
    if not metadata.get("name") or "spec" not in pod:
        raise BadManifest(f"{source}: invalid pod: metadata.name and spec are required")
    digest = hashlib.md5(usedforsecurity=False)
    digest.update(f"host:{node}file:{source}".encode())
    digest.update(json.dumps(loaded, sort_keys=True).encode())
    metadata["uid"] = str(metadata.get("uid") or digest.hexdigest())
    metadata["name"] = f"{metadata['name']}-{node.lower()}"
    metadata.setdefault("namespace", "default")
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        pods.CONFIG_HASH: metadata["uid"],
        pods.CONFIG_SOURCE: "file",
    }
    spec = pod["spec"]
    spec["nodeName"] = node
    tolerations = spec.setdefault("tolerations", [])
    everything = {"operator": "Exists", "effect": "NoExecute"}
    if everything not in tolerations:
        tolerations.append(everything)
    pod["status"] = {"phase": "Pending"}
    problems = finish(pod)
    if problems:
        raise BadManifest(f"{source}: invalid pod: {'; '.join(problems)}")
    return pod


def _typed(pod: Pod, source: str) -> Pod:
    """What Go's decoder makes of it: fields that a Pod has, with values of their types. Raises BadManifest."""
    # Imported here: a node without manifests does not pay for the API's schema.
    from apimachinery.api.schema import SCHEMA

    decoded = SCHEMA.decode_part(SCHEMA.definition_name(PODS.gvk), pod)
    if decoded.error:
        raise BadManifest(f"{source}: couldn't parse as pod({decoded.error}), please check config file")
    return decoded.object


@dataclass(frozen=True, slots=True)
class _Known:
    stamp: tuple[int, int, int]
    pod: Pod | None


class StaticSource:
    """Watches a directory. changed: called with all its pods whenever they are not what they were."""

    def __init__(
        self, directory: Path, node: str, finish: Finish, changed: Callable[[list[Pod]], None], clock: Clock
    ) -> None:
        self._directory, self._node, self._finish = directory, node, finish
        self._changed, self._clock = changed, clock
        self._known: dict[Path, _Known] = {}
        self._told: list[Pod] | None = None
        self._absent = False

    async def run(self) -> None:
        """Read the directory now and then every second, until cancelled."""
        while True:
            self.scan()
            await self._clock.sleep(_POLL)

    def scan(self) -> None:
        """Read what is new or changed in the directory, and tell if the pods are not what they were."""
        found: dict[Path, _Known] = {}
        try:
            entries = sorted(self._directory.iterdir())
        except FileNotFoundError:
            if not self._absent:
                log.error("Unable to read config path %s: path does not exist, ignoring", self._directory)
            self._absent, entries = True, []
        except OSError as error:
            log.error("Unable to read config path %s: %s", self._directory, error)
            return
        else:
            self._absent = False
        for path in entries:
            if path.name.startswith("."):
                continue
            try:
                status = path.stat()
            except OSError:
                continue
            if not path.is_file():
                continue
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            known = self._known.get(path)
            found[path] = known if known and known.stamp == stamp else self._read(path, stamp, known)
        self._known = found
        by_name: dict[str, Pod] = {}
        for known in found.values():
            if known.pod is not None:
                by_name.setdefault(pods.full_name(known.pod), known.pod)
        telling = list(by_name.values())
        if telling != self._told:
            self._told = telling
            self._changed(telling)

    def _read(self, path: Path, stamp: tuple[int, int, int], known: _Known | None) -> _Known:
        try:
            pod = parse_manifest(path.read_text(), str(path), self._node, self._finish)
        except Exception as error:  # whatever a file holds, the pods of the others run
            log.error("Could not process manifest file %s: %s", path, error)
            return _Known(stamp, known.pod if known else None)
        before = known.pod if known else None
        same = before is not None and pods.uid(before) == pods.uid(pod)
        seen = pods.notes(before)[pods.CONFIG_SEEN] if before and same else times.rfc3339_micro(self._clock.now())
        pod["metadata"]["annotations"][pods.CONFIG_SEEN] = seen
        return _Known(stamp, pod)
