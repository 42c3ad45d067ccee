"""Reading pod-config and container-config files, JSON or YAML."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .client import get
from .codec import from_json
from .complaints import Failed, say

if TYPE_CHECKING:
    from .codec import Message

_ENVIRONMENT = Path("/opt/kubelab/venv")


def pod_config(path: str) -> Message:
    """A PodSandboxConfig; without a UID it gets one. Raises Failed."""
    config = _load(path, "PodSandboxConfig")
    if config.get("metadata") is None:
        raise Failed("load podSandboxConfig: metadata is not set")
    metadata = config["metadata"]
    metadata["uid"] = metadata.get("uid") or str(uuid.uuid4())
    if not metadata.get("name") or not metadata.get("namespace"):
        raise Failed(f'load podSandboxConfig: name or namespace is not in metadata "{metadata}"')
    if config.get("linux") is not None and not config["linux"].get("cgroup_parent"):
        say("warning", "cgroup_parent is not set. Use `runtime-config` to get the runtime cgroup driver")
    return config


def container_config(path: str) -> Message:
    """A ContainerConfig. Raises Failed."""
    config = _load(path, "ContainerConfig")
    for field, name, problem in (
        ("metadata", "name", "name is not in metadata"),
        ("image", "image", "image field is not set in image"),
    ):
        if config.get(field) is None:
            raise Failed(f"load ContainerConfig: {field} is not set")
        if not get(config, field, name):
            raise Failed(f'load ContainerConfig: {problem} "{config[field]}"')
    return config


def _load(path: str, message: str) -> Message:
    what = "podSandboxConfig" if message == "PodSandboxConfig" else "ContainerConfig"
    try:
        text = Path(path).read_text()
    except FileNotFoundError:
        raise Failed(f"load {what}: config at {path} not found") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"load {what}: {error}") from None
    try:
        return from_json(message, json.loads(text) if text.lstrip().startswith("{") else _yaml(text))
    except ValueError as error:
        raise Failed(f"load {what}: {error}") from None


def _yaml(text: str) -> Any:
    # The launcher starts Python without site packages; only this needs one of them.
    library = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    sys.path += [str(prefix / library) for prefix in (Path(sys.executable).parent.parent, _ENVIRONMENT)]
    from apimachinery.meta.yaml_text import BadYaml, load

    try:
        return load(text)
    except BadYaml as error:
        raise ValueError(f"error converting YAML to JSON: {error}") from None
