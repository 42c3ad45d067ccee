"""--config-dir: files that change what the kubelet's configuration file says, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from apimachinery.kit.config import Problems
from apimachinery.meta.patches import merge_patch

from .config_file import Document, defaults, flat, nested, read_body

_SUFFIX = ".conf"


def merged(document: Document, directory: Path, problems: Problems) -> Document:
    """The document with what every file of the directory says (mergeKubeletConfigurations). Maps are merged, lists
    replaced; what is null or nothing then is the default. Everything wrong goes to `problems`, in upstream's words.
    """
    whole = "failed to merge kubelet configs"
    where = f'{whole}: failed to walk through kubelet dropin directory "{directory}"'
    try:
        paths = list(_files(directory))
    except OSError as error:
        problems.add(where, f"lstat {error.filename}: {(error.strerror or '').lower()}")
        return document
    found = nested(document)
    for path in paths:
        told = f"{where}: failed to load kubelet dropin file, path: {path}, error"
        found = merge_patch(found, read_body(path, told, problems, []))
    told = f"{whole}: failed to unmarshal merged JSON into kubelet configuration"
    return defaults() | flat(found, [], problems, told)  # fields that are not known are passed over in silence


def _files(directory: Path) -> Iterator[Path]:
    """In the order of their names; those of a folder come where its name does. Raises OSError."""
    for path in sorted(directory.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.suffix == _SUFFIX:
            yield path
