"""Security contexts: profiles, labels, policies; what the node cannot enforce; RuntimeClasses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apimachinery.client.rest import ApiUnreachable
from apimachinery.kit.clock import ManualClock
from apimachinery.meta.status import not_found
from nodeagent.cri import messages as cri
from nodeagent.kubelet.admission.apparmor import is_enabled, unenforceable
from nodeagent.kubelet.environment import ConfigProblem
from nodeagent.kubelet.runtime import security
from nodeagent.kubelet.runtime.classes import NoSuchClass, RuntimeClasses

PROFILE = cri.SecurityProfile


def pod(context: dict[str, Any] | None = None, of_pod: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "i", "securityContext": context or {}}]
    spec = {"containers": containers, "securityContext": of_pod or {}, **more}
    return {"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": spec}


def made(asked: dict[str, Any], **more: Any) -> cri.LinuxContainerSecurityContext:
    image = cri.Image(id="i", uid=cri.Int64Value(value=0))
    return security.container_context(asked, asked["spec"]["containers"][0], image, "/root", **more)


@pytest.mark.parametrize(
    ("asked", "by_default", "kind", "reference"),
    [
        ({}, False, PROFILE.Unconfined, ""),
        ({}, True, PROFILE.RuntimeDefault, ""),
        ({"seccompProfile": {"type": "Unconfined"}}, True, PROFILE.Unconfined, ""),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, False, PROFILE.RuntimeDefault, ""),
        (
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"}},
            False,
            PROFILE.Localhost,
            "/root/a/b.json",
        ),
        ({"privileged": True}, True, PROFILE.Unconfined, ""),
    ],
)
def test_seccomp(asked: dict[str, Any], by_default: bool, kind: int, reference: str) -> None:
    for where in (pod(asked), pod({}, asked) if "privileged" not in asked else pod(asked)):
        found = made(where, seccomp_default=by_default).seccomp
        assert (found.profile_type, found.localhost_ref) == (kind, reference)


@pytest.mark.parametrize("name", ["", "/etc/shadow", "../x", "a/../../x"])
def test_a_profile_is_below_its_root(name: str) -> None:
    with pytest.raises(ConfigProblem, match="localhostProfile"):
        made(pod({"seccompProfile": {"type": "Localhost", "localhostProfile": name}}))


@pytest.mark.parametrize(
    ("context", "of_pod", "annotation", "text", "kind"),
    [
        ({}, {}, "", "", None),
        ({"appArmorProfile": {"type": "RuntimeDefault"}}, {}, "", "runtime/default", PROFILE.RuntimeDefault),
        ({}, {"appArmorProfile": {"type": "Localhost", "localhostProfile": "x"}}, "", "localhost/x", PROFILE.Localhost),
        ({"appArmorProfile": {"type": "Unconfined"}}, {"appArmorProfile": {"type": "RuntimeDefault"}}, "", "unconfined",
         PROFILE.Unconfined),
        ({}, {}, "localhost/y", "localhost/y", PROFILE.Localhost),
    ],
)  # fmt: skip
def test_apparmor(context: Any, of_pod: Any, annotation: str, text: str, kind: int | None) -> None:
    asked = pod(context, of_pod)
    if annotation:
        asked["metadata"]["annotations"] = {"container.apparmor.security.beta.kubernetes.io/main": annotation}
    found = made(asked)
    assert found.apparmor_profile == text
    assert (found.apparmor.profile_type if kind is not None else None) == kind
    refusal = unenforceable(asked, enabled=False)
    if text in ("", "unconfined"):
        assert refusal is None
    else:
        assert refusal is not None and refusal.reason == "AppArmor"
        assert refusal.message == "Cannot enforce AppArmor: AppArmor is not enabled on the host"
    assert unenforceable(asked, enabled=True) is None


def test_whether_the_kernel_has_apparmor(tmp_path: Path) -> None:
    file = tmp_path / "enabled"
    assert not is_enabled(file)
    file.write_text("N\n")
    assert not is_enabled(file)
    file.write_text("Y\n")
    assert is_enabled(file)


def test_labels_policies_and_proc() -> None:
    options = {"user": "u", "role": "r", "type": "t", "level": "s0:c1"}
    asked = pod({"procMount": "Unmasked"}, {"seLinuxOptions": options, "supplementalGroupsPolicy": "Strict"})
    found = made(asked)
    assert (found.selinux_options.user, found.selinux_options.level) == ("u", "s0:c1")
    assert found.supplemental_groups_policy == cri.Strict and not found.masked_paths and not found.readonly_paths
    box = security.sandbox_context(asked, "/root")
    assert box.selinux_options.type == "t" and box.supplemental_groups_policy == cri.Strict
    plain = made(pod({"windowsOptions": {"runAsUserName": "x"}}))
    assert (
        not plain.HasField("selinux_options") and plain.masked_paths and plain.supplemental_groups_policy == cri.Merge
    )


def test_groups_of_volumes_are_the_containers_too() -> None:
    asked = pod(of_pod={"supplementalGroups": [7, 5], "fsGroup": 9})
    assert made(asked, volume_groups={8, 7, 3}).supplemental_groups == [7, 5, 9, 3, 8]
    assert made(pod(), volume_groups={8}).supplemental_groups == [8]


class Api:
    """An API with one RuntimeClass. problem: raised instead."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem, self.asked = problem, 0

    async def get(self, resource: Any, name: str) -> dict[str, Any]:
        self.asked += 1
        if self.problem is not None:
            raise self.problem
        if name != "gvisor":
            raise not_found(resource, name)
        return {"handler": "runsc"}


async def test_runtime_classes() -> None:
    api: Any = Api()
    clock = ManualClock()
    classes = RuntimeClasses(api, clock)
    assert await classes.handler(pod()) == "" and api.asked == 0
    for _ in range(3):
        assert await classes.handler(pod(runtimeClassName="gvisor")) == "runsc"
    assert api.asked == 1
    with pytest.raises(NoSuchClass, match=r'^runtimeclass\.node\.k8s\.io "none" not found$'):
        await classes.handler(pod(runtimeClassName="none"))
    away: Any = Api(ApiUnreachable("gone"))
    with pytest.raises(NoSuchClass, match="failed to lookup RuntimeClass gvisor: gone"):
        await RuntimeClasses(away, clock).handler(pod(runtimeClassName="gvisor"))
