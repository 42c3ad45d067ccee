"""Payloads, the atomic writer, subPath and host paths, on a real file system."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nodeagent.kubelet.downward import NodeFacts
from nodeagent.kubelet.volumes.atomic import write_payload
from nodeagent.kubelet.volumes.host_path import check_host_path
from nodeagent.kubelet.volumes.nested import nested_mount_points
from nodeagent.kubelet.volumes.payload import File, PayloadProblem, downward_files, object_files, projected_files

NOW = datetime(2025, 1, 1, tzinfo=UTC)
OBJECTS: dict[tuple[str, str], Any] = {
    ("configMap", "m"): {"data": {"a": "1"}, "binaryData": {"b": base64.b64encode(b"\x00").decode()}},
    ("secret", "s"): {"data": {"k": base64.b64encode(b"w").decode()}},
}


def lookup(kind: str, name: str) -> Any:
    return OBJECTS.get((kind, name))


def test_whole_objects_and_items() -> None:
    assert object_files({}, "configMap", "m", 0o644, lookup) == {"a": File(b"1", 0o644), "b": File(b"\x00", 0o644)}
    items = {"items": [{"key": "k", "path": "x/y", "mode": 0o400}]}
    assert object_files(items, "secret", "s", 0o644, lookup) == {"x/y": File(b"w", 0o400)}


@pytest.mark.parametrize(
    ("source", "kind", "name", "message"),
    [
        ({}, "configMap", "z", 'configmap "z" not found'),
        ({"items": [{"key": "q", "path": "p"}]}, "secret", "s", "references non-existent secret key: q"),
        ({"items": [{"key": "k", "path": "../p"}]}, "secret", "s", "invalid path: '../p'"),
        ({"items": [{"key": "k", "path": "/p"}]}, "secret", "s", "invalid path: '/p'"),
        ({"items": [{"key": "k", "path": "..data/p"}]}, "secret", "s", "invalid path: '..data/p'"),
    ],
)
def test_what_cannot_be_filled(source: dict[str, Any], kind: str, name: str, message: str) -> None:
    with pytest.raises(PayloadProblem) as refused:
        object_files(source, kind, name, 0o644, lookup)
    assert str(refused.value) == message


def test_optional_may_be_missing() -> None:
    assert object_files({"optional": True}, "configMap", "z", 0o644, lookup) == {}


def test_projected() -> None:
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {}}
    source: dict[str, Any] = {
        "sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"configMap": {"name": "m", "items": [{"key": "a", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]
    }
    made = projected_files(pod, source, lookup=lookup, token=lambda _: "T", ips=[], node=NodeFacts("x"))
    assert {path: file.data for path, file in made.items()} == {"token": b"T", "ca.crt": b"1", "namespace": b"n"}
    source["sources"] += [{"secret": {"name": "no"}}, {"configMap": {"name": "nor"}}, {"secret": {"name": "no"}}]
    with pytest.raises(PayloadProblem) as refused:
        projected_files(pod, source, lookup=lookup, token=lambda _: "T", ips=[], node=NodeFacts("x"))
    assert str(refused.value) == '[secret "no" not found, configmap "nor" not found]'


def test_everything_that_is_wrong_with_a_pods_fields_is_said() -> None:
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": []}}
    wrong = [
        {"path": "a", "fieldRef": {"fieldPath": "spec.x"}},
        {"path": "b", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
    ]
    with pytest.raises(PayloadProblem) as refused:
        downward_files(pod, wrong, 0o644, [], NodeFacts("x"))
    assert str(refused.value) == "[unsupported fieldPath: spec.x, container c not found]"


@pytest.mark.parametrize(
    ("of_pod", "of_main", "mode", "uid"),
    [
        ({}, {}, 0o644, None),
        ({"runAsUser": 1000}, {}, 0o600, 1000),
        ({}, {"runAsUser": 1000}, 0o644, None),  # the other container may be anybody
        ({"runAsUser": 1000}, {"runAsUser": 2000}, 0o644, None),
        ({"fsGroup": 7}, {}, 0o600, None),
        ({"runAsUser": 1000, "fsGroup": 7}, {}, 0o600, 1000),
    ],
)
def test_a_token_is_for_those_who_run_the_pod(
    of_pod: dict[str, Any], of_main: dict[str, Any], mode: int, uid: int | None
) -> None:
    containers = [{"name": "main", "securityContext": of_main}, {"name": "other"}]
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"securityContext": of_pod, "containers": containers},
    }
    source = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
    made = projected_files(pod, source, lookup=lookup, token=lambda _: "T", ips=[], node=NodeFacts("x"))
    assert made == {"token": File(b"T", mode, uid)}


def test_the_payload_is_swapped_as_one(tmp_path: Path) -> None:
    assert write_payload(tmp_path, {"a": File(b"1", 0o600), "d/b": File(b"2", 0o644)}, now=NOW)
    first = (tmp_path / "..data").readlink()
    assert re.fullmatch(r"\.\.2025_01_01_00_00_00\.[0-9]+", str(first))
    assert (tmp_path / "a").readlink() == Path("..data/a") and (tmp_path / "d/b").read_bytes() == b"2"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert not write_payload(tmp_path, {"a": File(b"1", 0o600), "d/b": File(b"2", 0o644)}, now=NOW)
    assert (tmp_path / "..data").readlink() == first
    assert write_payload(tmp_path, {"a": File(b"3", 0o644), "c": File(b"", 0o644)}, now=NOW)
    assert sorted(entry.name for entry in tmp_path.iterdir() if not entry.name.startswith("..")) == ["a", "c"]
    assert (tmp_path / "a").read_bytes() == b"3" and not (tmp_path / first).exists()


def test_what_killed_writers_left_is_taken_away(tmp_path: Path) -> None:
    write_payload(tmp_path, {"a": File(b"1", 0o600)}, now=NOW)
    (tmp_path / "..2024_01_01_00_00_00.1").mkdir()
    write_payload(tmp_path, {"a": File(b"2", 0o600)}, now=NOW)
    assert len([entry for entry in tmp_path.iterdir() if entry.name.startswith("..2")]) == 1


def test_the_group_reads_what_is_filled(tmp_path: Path) -> None:
    write_payload(tmp_path, {"d/a": File(b"1", 0o400)}, now=NOW, gid=1234)
    found, folder = (tmp_path / "d/a").stat(), (tmp_path / "d").stat()
    assert (found.st_gid, found.st_mode & 0o7777) == (1234, 0o440)
    assert (folder.st_gid, folder.st_mode & 0o7777) == (1234, 0o2755)


def test_the_group_owns_the_root_and_its_mount_points(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "inner").mkdir(mode=0o755)
    write_payload(tmp_path, {"a": File(b"1", 0o644)}, now=NOW, gid=1234)
    for place, mode in ((tmp_path, 0o3777), (tmp_path / "inner", 0o2755), (tmp_path / "..data", 0o2755)):
        found = place.stat()
        assert (found.st_gid, found.st_mode & 0o7777) == (1234, mode)


def test_links_that_a_killed_writer_did_not_make(tmp_path: Path) -> None:
    payload = {"a": File(b"1", 0o644), "inner/b": File(b"2", 0o644)}
    write_payload(tmp_path, payload, now=NOW)
    (tmp_path / "a").unlink()
    (tmp_path / "inner").unlink()
    (tmp_path / "inner").mkdir()  # somebody's mount point stays
    assert not write_payload(tmp_path, payload, now=NOW)
    assert (tmp_path / "a").read_bytes() == b"1" and not (tmp_path / "inner").is_symlink()


def test_paths_that_are_said_in_a_longer_way_than_needed(tmp_path: Path) -> None:
    items = [{"key": "k", "path": path} for path in ("./a", "d//b", "d/./c")]
    payload = object_files({"items": items}, "configMap", "m", 0o644, lambda *_: {"data": {"k": "v"}})
    assert list(payload) == ["a", "d/b", "d/c"]
    assert write_payload(tmp_path, payload, now=NOW) and not write_payload(tmp_path, payload, now=NOW)
    assert (tmp_path / "a").read_text() == (tmp_path / "d/b").read_text() == "v"


@pytest.mark.parametrize(
    ("mounts", "points"),
    [
        ({"/dir": "v"}, []),
        ({"/dir": "v", "/dir/inner": "w"}, ["inner"]),
        ({"/dir": "v", "/dir/inner": "w", "/dir/inner/most": "x"}, ["inner"]),
        ({"/dir": "v", "/dir/in": "w", "/dir/inner": "x"}, ["in", "inner"]),
        ({"/dir": "v", "/dir/a/b/": "w", "/dir/z": "w", "/directory": "w"}, ["a/b", "z"]),
        ({"/dir": "w", "/dir/inner": "v"}, []),
        ({"/one": "v", "/two": "v", "/one/a": "w", "/two//b": "w"}, ["a", "b"]),
        ({"/dir": "v", "/dir/../etc": "w"}, []),
    ],
)
def test_what_is_mounted_below_a_volume(mounts: dict[str, str], points: list[str]) -> None:
    """The cases of upstream's nested_volumes_test.go."""
    asked = [{"name": name, "mountPath": path} for path, name in mounts.items()]
    pod = {"spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i", "volumeMounts": asked}]}}
    assert nested_mount_points(pod, "v") == points


def test_a_file_may_be_one_users(tmp_path: Path) -> None:
    write_payload(tmp_path, {"token": File(b"1", 0o600, 1000)}, now=NOW)
    found = (tmp_path / "token").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1000, 0, 0o600)


def test_host_path_types(tmp_path: Path) -> None:
    assert check_host_path({"path": str(tmp_path / "d"), "type": "DirectoryOrCreate"}).is_dir()
    assert check_host_path({"path": str(tmp_path / "f"), "type": "FileOrCreate"}).is_file()
    with pytest.raises(PayloadProblem, match="is not a directory"):
        check_host_path({"path": str(tmp_path / "f"), "type": "Directory"})
    with pytest.raises(PayloadProblem, match="is not a socket file"):
        check_host_path({"path": str(tmp_path / "f"), "type": "Socket"})
    assert check_host_path({"path": str(tmp_path / "absent")}) == tmp_path / "absent"
    for below, kind, told in (
        ("absent/f", "FileOrCreate", "open {}/absent/f: no such file or directory"),
        ("f/d", "DirectoryOrCreate", "mkdir {}/f/d: not a directory"),
        ("../d", "", "invalid HostPath `{}/../d`: must not contain '..'"),
    ):
        with pytest.raises(PayloadProblem) as refused:
            check_host_path({"path": f"{tmp_path}/{below}", "type": kind})
        assert str(refused.value) == told.format(tmp_path)
