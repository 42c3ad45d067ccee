"""Static pods from files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.clock import ManualClock
from apimachinery.meta.pods import MIRROR
from apimachinery.meta.status import not_found
from nodeagent.kubelet import pods
from nodeagent.kubelet.sources.manifests import BadManifest, parse_manifest
from nodeagent.kubelet.sources.mirrors import MirrorManager, render_mirror
from nodeagent.kubelet.sources.registry import PodRegistry
from nodeagent.kubelet.sources.static import StaticSource

TEXT = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: i}]}\n"


def fine(_: dict[str, Any]) -> list[str]:
    return []


def test_a_manifest_becomes_a_pod_of_this_node() -> None:
    pod = parse_manifest(TEXT, "/m/web.yaml", "Node1", fine)
    assert (pod["metadata"]["name"], pod["metadata"]["namespace"], pod["spec"]["nodeName"]) == (
        "web-node1",
        "default",
        "Node1",
    )
    assert pods.is_static(pod) and pods.notes(pod)[pods.CONFIG_HASH] == pods.uid(pod)
    assert {"operator": "Exists", "effect": "NoExecute"} in pod["spec"]["tolerations"]


def test_the_uid_follows_content_file_and_node() -> None:
    first = pods.uid(parse_manifest(TEXT, "/m/a", "n", fine))
    assert first == pods.uid(parse_manifest(TEXT, "/m/a", "n", fine))
    others = [(TEXT.replace("image: i", "image: j"), "/m/a", "n"), (TEXT, "/m/b", "n"), (TEXT, "/m/a", "o")]
    assert first not in {pods.uid(parse_manifest(*other, fine)) for other in others}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Object 'Kind' is missing in 'null'"),
        ("a: <x>", "Object 'Kind' is missing in '{\"a\":\"\\u003cx\\u003e\"}'"),
        ("kind: Pod", "Object 'apiVersion' is missing in '{\"kind\":\"Pod\"}'"),
        ("- x", "couldn't get version/kind; json parse error: array is no object"),
        ("kind: Service\napiVersion: v1", "invalid pod: a Service of v1"),
        (
            TEXT.replace("Pod", "pod"),
            'no kind "pod" is registered for version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30"',
        ),
        (
            TEXT.replace("spec: {", "spec: {hostNetwork: 'true', "),
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
        (TEXT.replace("[{name: c, image: i}]", "c"), "json: cannot unmarshal string into Go struct field "),
    ],
)
def test_what_is_no_pod_is_refused(text: str, told: str) -> None:
    with pytest.raises(BadManifest) as found:
        parse_manifest(text, "/m/a", "n", fine)
    assert str(found.value).startswith(f"/m/a: couldn't parse as pod({told}")


def test_fields_that_are_not_known_are_left_out() -> None:
    pod = parse_manifest(TEXT.replace("image: i", "image: i, comand: [a]"), "/m/a", "n", fine)
    assert pod["spec"]["containers"] == [{"name": "c", "image": "i"}]


def test_what_is_wrong_with_a_pod_is_told_as_go_prints_it() -> None:
    with pytest.raises(BadManifest) as found:
        parse_manifest(TEXT, "/m/a", "n", lambda _: ["spec: wrong", "metadata: too"])
    assert str(found.value) == "invalid pod: [spec: wrong metadata: too]"


def test_a_manifest_is_read_as_go_reads_it() -> None:
    head = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n"
    env = "    env: &env\n    - {name: AT, value: 12:30}\n    - {name: DAY, value: 2024-01-02}\n"
    more = "    stdin: y\n  - {name: d, env: *env}\n"
    pod = parse_manifest(head + f"  - name: c\n{env}{more}---\nkind: another\n", "/m/a", "n", fine)
    first, second = pod["spec"]["containers"]
    assert [each["value"] for each in first["env"]] == ["12:30", "2024-01-02"] and first["stdin"] is True
    assert second["env"] == first["env"] and second["env"] is not first["env"]


def test_faults_of_yaml_are_told_as_go_tells_them() -> None:
    told = r"^/m/a: couldn't parse as pod\(yaml: line 2: mapping values are not allowed in this context\), please check"
    with pytest.raises(BadManifest, match=told):
        parse_manifest("kind: Pod\nspec: a: b\n", "/m/a", "n", fine)


class Directory:
    def __init__(self, path: Path) -> None:
        self.path, self.told, self.clock = path, list[list[str]](), ManualClock()
        self.images: list[str] = []
        self.source = StaticSource(path, "n", fine, self._take, self.clock, 20)

    def _take(self, found: list[dict[str, Any]]) -> None:
        self.told.append(sorted(map(pods.full_name, found)))
        self.images = [pod["spec"]["containers"][0]["image"] for pod in found]

    async def whole(self) -> None:
        """As it is when the directory has been read as a whole again."""
        await self.clock.advance(20)
        self.source.scan()


async def test_a_bad_file_leaves_the_others_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory, bad, file = Directory(tmp_path), tmp_path / "bad.yaml", tmp_path / "a.yaml"
    file.write_text(TEXT)
    (tmp_path / ".hidden").write_text(TEXT.replace("web", "hidden"))
    bad.write_text("a: [\n")
    directory.source.scan()
    directory.source.scan()
    assert directory.told == [["web-n_default"]]
    why = f"{bad}: couldn't parse as pod(yaml: line 1: did not find expected node content), please check config file"
    said = f'"Could not process manifest file" err="{why}" path="{bad}"'
    assert caplog.messages == [said]
    await directory.whole()
    assert directory.told == [["web-n_default"]] and caplog.messages == [said, said]


async def test_a_pod_whose_file_went_bad_ends_when_the_directory_is_read_as_a_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory, file = Directory(tmp_path), tmp_path / "a.yaml"
    (tmp_path / "b.yaml").write_text(TEXT.replace("web", "other"))
    file.write_text(TEXT)
    directory.source.scan()
    file.write_text(TEXT.replace("spec: {", "spec: {x: {"))
    directory.source.scan()
    assert len(directory.told) == 1
    [said] = caplog.messages
    assert said.startswith(
        f'"Unable to process watch event" err="can\'t process config file \\"{file}\\": {file}: couldn\'t'
    )
    await directory.whole()
    assert directory.told[1:] == [["other-n_default"]]
    file.write_text(TEXT)
    directory.source.scan()
    assert directory.told[2:] == [["other-n_default", "web-n_default"]]
    file.unlink()
    directory.source.scan()
    assert directory.told[3:] == [["other-n_default"]]


async def test_of_two_files_with_one_pod_the_latest_change_wins_and_then_the_last_name(tmp_path: Path) -> None:
    directory, file, backup = Directory(tmp_path), tmp_path / "a.yaml", tmp_path / "a.yaml.bak"
    file.write_text(TEXT)
    directory.source.scan()
    backup.write_text(TEXT)
    file.write_text(TEXT.replace("image: i", "image: second"))
    await directory.whole()
    assert directory.images == ["i"]
    file.write_text(TEXT.replace("image: i", "image: third"))
    directory.source.scan()
    assert directory.images == ["third"]
    await directory.whole()
    assert directory.images == ["i"]
    backup.unlink()
    directory.source.scan()
    assert directory.images == []
    await directory.whole()
    assert directory.images == ["third"]


def test_a_file_that_says_the_uid_is_one_pod_whatever_its_content(tmp_path: Path) -> None:
    """As whoever makes a manifest of `kubectl get -o yaml` has it."""
    registry = PodRegistry()
    said: list[str] = []
    registry.update = lambda pod: said.append(f"{pods.uid(pod)} {pod['spec']['containers'][0]['image']}")
    registry.remove = lambda uid: said.append(f"end {uid}")
    clock = ManualClock()
    source = StaticSource(tmp_path, "n", fine, registry.set_static, clock, 20)
    text = TEXT.replace("name: web", "name: web, uid: mine")
    for image in ("i", "i", "second"):
        (tmp_path / "a.yaml").write_text(text.replace("image: i", f"image: {image}"))
        source.scan()
    assert said == ["mine i", "mine second"]
    [pod] = registry.static()
    assert pods.notes(pod)[pods.CONFIG_HASH] == "mine"


def test_an_absent_directory_is_an_empty_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = Directory(tmp_path / "none")
    said = f'"Unable to read config path" err="path does not exist, ignoring" path="{tmp_path}/none"'
    directory.source.scan()
    directory.source.scan()
    assert directory.told == [[]] and caplog.messages == [said]
    directory.path.mkdir()
    directory.source.scan()
    directory.path.rmdir()
    directory.source.scan()
    assert directory.told == [[]] and caplog.messages == [said, said]


def test_mirror_and_registry() -> None:
    pod = parse_manifest(TEXT, "/m/web.yaml", "n", fine)
    mirror = render_mirror(pod, "node-uid")
    assert "uid" not in mirror["metadata"] and pods.is_mirror(mirror) and not pods.is_mirror(pod)
    assert mirror["metadata"]["ownerReferences"][0]["uid"] == "node-uid"
    registry = PodRegistry()
    updated: list[str] = []
    registry.update = lambda found: updated.append(pods.uid(found))
    registry.set_static([pod])
    assert registry.published(pod) is None
    mirror["metadata"]["uid"] = "mirror-uid"
    registry.api_put(mirror)
    assert registry.published(pod) is mirror and registry.find("mirror-uid") is pod
    assert updated == [pods.uid(pod)], "a mirror is shown, never run"
    stale = {**mirror, "metadata": {**mirror["metadata"], "annotations": {MIRROR: "old"}}}
    registry.api_put(stale)
    assert registry.published(pod) is None


def test_one_name_two_pods_is_an_end_and_a_beginning() -> None:
    registry = PodRegistry()
    said: list[str] = []
    registry.update = lambda found: said.append(f"run {pods.uid(found)}")
    registry.remove = lambda uid: said.append(f"end {uid}")
    old = {"metadata": {"name": "p", "namespace": "d", "uid": "1"}, "spec": {}}
    new = {"metadata": {"name": "p", "namespace": "d", "uid": "2"}, "spec": {}}
    registry.api_put(old)
    registry.api_replaced(old, new)
    assert said == ["run 1", "end 1", "run 2"]


class Api:
    """Deletes pods, and says which."""

    def __init__(self) -> None:
        self.deleted: asyncio.Queue[str] = asyncio.Queue()

    async def delete(self, _resource: Any, name: str, _namespace: str, **_: Any) -> None:
        self.deleted.put_nowait(name)


@pytest.mark.parametrize("text", [None, TEXT.replace("image: i", "image: j")])
async def test_a_mirror_stays_until_nothing_of_its_pod_runs(text: str | None) -> None:
    registry, api, asked = PodRegistry(), Api(), list[str]()
    pod = parse_manifest(TEXT, "/m/web.yaml", "n", fine)
    mirror = render_mirror(pod, "node-uid")
    mirror["metadata"]["uid"] = "mirror-uid"
    registry.set_static([parse_manifest(text, "/m/web.yaml", "n", fine)] if text else [])
    registry.api_put(mirror)

    def ending(full_name: str) -> bool:
        asked.append(full_name)
        return len(asked) == 1

    client: Any = api
    mirrors = MirrorManager(client, registry, "n", lambda: True, ending)
    loop = asyncio.create_task(mirrors.run())
    while not asked:
        await asyncio.sleep(0)
    assert api.deleted.empty()
    mirrors.kick()
    assert await api.deleted.get() == "web-n"
    assert asked == ["web-n_default"] * 2
    loop.cancel()


class Refusing:
    """Has the node, if it `has`, and takes no pods."""

    def __init__(self, has: bool) -> None:
        self.has, self.asked = has, asyncio.Queue[str]()

    async def get(self, resource: Any, name: str) -> dict[str, Any]:
        self.asked.put_nowait("node")
        if not self.has:
            raise not_found(resource, name)
        return {"metadata": {"uid": "node-uid"}}

    async def create(self, _resource: Any, _pod: Any, namespace: str) -> None:
        self.asked.put_nowait("pod")
        raise not_found("namespaces", namespace)


@pytest.mark.parametrize("has", [True, False])
async def test_a_mirror_that_is_refused_is_tried_ever_less_often(caplog: pytest.LogCaptureFixture, has: bool) -> None:
    registry, api = PodRegistry(), Refusing(has)
    registry.set_static([parse_manifest(TEXT, "/m/web.yaml", "n", fine)])
    client: Any = api
    mirrors = MirrorManager(client, registry, "n", lambda: True, lambda _: False)
    loop = asyncio.create_task(mirrors.run())
    pauses = []
    for _ in range(8):
        assert await api.asked.get() == "node"
        if has:
            assert await api.asked.get() == "pod"
        await asyncio.sleep(0)
        pauses.append(mirrors.pause)
        mirrors.kick()
    loop.cancel()
    if has:
        assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
        told = '"Failed creating a mirror pod" err="namespaces \\"default\\" not found" pod="default/web-n"'
        assert caplog.messages[0] == told
    else:
        assert not caplog.messages, "nobody misses it"
