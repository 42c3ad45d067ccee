"""User namespaces: who gets which ids, what the runtime is told, and who gets none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nodeagent.cri import messages as cri
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.runtime.user_namespaces import NoUserNamespace, UserNamespaces, apply


class Handlers:
    """A runtime that says what its handlers can."""

    def __init__(self, **can: bool) -> None:
        self._can = can

    async def handlers(self) -> dict[str, cri.RuntimeHandlerFeatures]:
        return {name.strip("_"): cri.RuntimeHandlerFeatures(user_namespaces=can) for name, can in self._can.items()}


def namespaces(folder: Path, *, enabled: bool = True, **can: bool) -> UserNamespaces:
    runtime: Any = Handlers(**can)
    return UserNamespaces(runtime, Paths(folder), enabled=enabled)


def pod(uid: str, folder: Path, **spec: Any) -> dict[str, Any]:
    (folder / "pods" / uid).mkdir(parents=True, exist_ok=True)
    return {"metadata": {"name": "p", "namespace": "n", "uid": uid}, "spec": {"hostUsers": False, **spec}}


async def test_every_pod_has_ids_of_its_own_also_for_the_next_agent(tmp_path: Path) -> None:
    first = namespaces(tmp_path, _=True)
    one, two, three = (pod(uid, tmp_path) for uid in ("one", "two", "three"))
    ids = [cri.IDMapping(host_id=65536, container_id=0, length=65536)]
    assert await first.ensure(one, "") == cri.UserNamespace(mode=cri.POD, uids=ids, gids=ids)
    given = await first.ensure(two, "")
    assert given is not None and given.uids[0].host_id == 131072 and await first.ensure(two, "") == given
    mapping = [{"hostId": 131072, "containerId": 0, "length": 65536}]
    written = json.loads((tmp_path / "pods/two/userns").read_text())
    assert written == {"uidMappings": mapping, "gidMappings": mapping}
    then = namespaces(tmp_path, _=True)
    assert then.held(two) == given
    late = await then.ensure(three, "")
    assert late is not None and late.uids[0].host_id == 196608
    (tmp_path / "pods/one/userns").unlink()
    then.release("one")
    again = await then.ensure(pod("four", tmp_path), "")
    assert again is not None and again.uids[0].host_id == 65536, "what was given back is given again"


@pytest.mark.parametrize(
    ("can", "handler", "why"),
    [
        ({}, "", 'runtime does not support user namespaces: the handler "" is not known'),
        ({"_": False}, "", "runtime does not support user namespaces"),
        ({"_": True, "runsc": False}, "runsc", 'RuntimeClass handler "runsc" does not support user namespaces'),
        (
            {"_": True},
            "kata",
            'RuntimeClass handler "kata" does not support user namespaces: the handler "kata" is not known',
        ),
    ],
    ids=["old runtime", "cannot", "handler cannot", "no such handler"],
)
async def test_a_runtime_without(tmp_path: Path, can: dict[str, bool], handler: str, why: str) -> None:
    with pytest.raises(NoUserNamespace) as told:
        await namespaces(tmp_path, **can).ensure(pod("u", tmp_path), handler)
    assert str(told.value) == f"can't set `spec.hostUsers: false`, {why}"
    assert not (tmp_path / "pods/u/userns").exists()


async def test_who_does_not_ask_is_with_the_nodes_users(tmp_path: Path) -> None:
    node = cri.UserNamespace(mode=cri.NODE)
    for asked in (True, None):
        assert await namespaces(tmp_path).ensure(pod("u", tmp_path, hostUsers=asked), "") == node
    closed = namespaces(tmp_path, enabled=False)
    assert await closed.ensure(pod("u", tmp_path, hostUsers=None), "") is None
    for asked in (True, False):
        with pytest.raises(
            NoUserNamespace, match=r'^the feature gate "UserNamespacesSupport" is disabled: can\'t set '
        ):
            await closed.ensure(pod("u", tmp_path, hostUsers=asked), "")


def test_a_containers_mounts_are_seen_with_the_same_users() -> None:
    ids = [cri.IDMapping(host_id=65536, container_id=0, length=65536)]
    config = cri.ContainerConfig(mounts=[cri.Mount(container_path="/a"), cri.Mount(container_path="/b")])
    apply(cri.UserNamespace(mode=cri.NODE), config)
    assert not any(mount.uidMappings for mount in config.mounts)
    apply(cri.UserNamespace(mode=cri.POD, uids=ids, gids=ids), config)
    assert all(list(mount.uidMappings) == ids == list(mount.gidMappings) for mount in config.mounts)
    assert config.linux.security_context.namespace_options.userns_options.mode == cri.POD
