"""The Pod Security Standards: every check with upstream's sentence, versions, labels, exemptions, namespaces."""

import pytest

from apimachinery.api.catalogue import DEPLOYMENTS, NAMESPACES, PODS
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.pod_security.evaluate import details, evaluate
from controlplane.apiserver.admission.pod_security.plugin import Configuration, PodSecurity
from controlplane.apiserver.admission.pod_security.policy import (
    BASELINE,
    LATEST,
    RESTRICTED,
    LevelVersion,
    Policy,
    parse_version,
    policy_of,
)
from controlplane.apiserver.registry.store import ObjectStore
from tests.unit.controlplane.apiserver.admission.reviews import lookup, pod, put, review

HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def container(name="a", **security):
    return {"name": name, "image": "i", "securityContext": security}


def spec(*containers, **fields):
    return {"containers": list(containers) or [container()], **fields}


def hardened(**fields):
    return spec(container(**HARDENED), **fields)


def forbidden(level, given, annotations=None, minor=LATEST):
    return details(evaluate(LevelVersion(level, minor), {"annotations": annotations or {}}, given))


B_C = container("b"), container("c")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (spec(), ""),
        (spec(container(privileged=True)), 'privileged (container "a" must not set securityContext.privileged=true)'),
        (
            spec(container("b", privileged=True), initContainers=[container("i", privileged=True)]),
            'privileged (containers "i", "b" must not set securityContext.privileged=true)',
        ),
        (
            spec(hostNetwork=True, hostPID=True, hostIPC=True),
            "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
        ),
        (spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'hostPath volumes (volume "v")'),
        (
            spec({"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 443}]}),
            'hostPort (container "a" uses hostPorts 443, 80)',
        ),
        (
            spec({"name": "a", "ports": [{"hostPort": 80}]}, {"name": "b", "ports": [{"hostPort": 80}]}),
            'hostPort (containers "a", "b" use hostPort 80)',
        ),
        (
            spec(container(capabilities={"add": ["SYS_ADMIN", "CHOWN", "NET_RAW"]})),
            'non-default capabilities (container "a" must not include "NET_RAW", "SYS_ADMIN" in '
            "securityContext.capabilities.add)",
        ),
        (
            spec(container(procMount="Unmasked")),
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            spec(
                container(seLinuxOptions={"type": "spc_t", "role": "r"}),
                securityContext={"seLinuxOptions": {"user": "u"}},
            ),
            'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; '
            "user may not be set; role may not be set)",
        ),
        (
            spec(securityContext={"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            spec(securityContext={"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            spec(
                container(windowsOptions={"hostProcess": True}),
                securityContext={"windowsOptions": {"hostProcess": True}},
            ),
            'hostProcess (pod and container "a" must not set securityContext.windowsOptions.hostProcess=true)',
        ),
        (
            spec(container(appArmorProfile={"type": "Unconfined"})),
            'forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")',
        ),
        (
            spec(ephemeralContainers=[container("e", privileged=True)]),
            'privileged (container "e" must not set securityContext.privileged=true)',
        ),
    ],
)
def test_baseline(given, sentence):
    assert forbidden(BASELINE, given) == sentence


def test_baseline_looks_at_annotations():
    key = "container.apparmor.security.beta.kubernetes.io/a"
    assert forbidden(BASELINE, spec(), {key: "localhost/x"}) == ""
    assert forbidden(BASELINE, spec(), {key: "unconfined"}) == (
        f'forbidden AppArmor profile (annotation must not set AppArmor profile type to "{key}="unconfined"")'
    )
    seccomp = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    assert forbidden(BASELINE, spec(), seccomp, minor=18) == (
        'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    )
    assert forbidden(BASELINE, spec(), seccomp, minor=19) == ""


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (hardened(), ""),
        (
            spec(*B_C),
            'allowPrivilegeEscalation != false (containers "b", "c" must set '
            "securityContext.allowPrivilegeEscalation=false), "
            'unrestricted capabilities (containers "b", "c" must set securityContext.capabilities.drop=["ALL"]), '
            'runAsNonRoot != true (pod or containers "b", "c" must set securityContext.runAsNonRoot=true), '
            'seccompProfile (pod or containers "b", "c" must set securityContext.seccompProfile.type to '
            '"RuntimeDefault" or "Localhost")',
        ),
        (
            hardened(volumes=[{"name": "h", "hostPath": {}}, {"name": "n", "nfs": {}}, {"name": "c", "configMap": {}}]),
            'restricted volume types (volumes "h", "n" use restricted volume types "hostPath", "nfs")',
        ),
        (
            spec(container(**{**HARDENED, "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "NET_BIND_SERVICE"]}})),
            'unrestricted capabilities (container "a" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
        (
            spec(container(**{**HARDENED, "runAsNonRoot": False})),
            'runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)',
        ),
        (
            spec(container(**{**HARDENED, "runAsUser": 0}), securityContext={"runAsUser": 0}),
            'runAsUser=0 (pod and container "a" must not set runAsUser=0)',
        ),
        (
            spec(container(**{**HARDENED, "seccompProfile": {"type": "Unconfined"}})),
            'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (hardened(hostNetwork=True), "host namespaces (hostNetwork=true)"),
    ],
)
def test_restricted(given, sentence):
    assert forbidden(RESTRICTED, given) == sentence


def test_what_the_pod_says_holds_for_its_containers():
    said = {"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}
    bare = container(allowPrivilegeEscalation=False, capabilities={"drop": ["ALL"]})
    assert forbidden(RESTRICTED, spec(bare, securityContext=said)) == ""


@pytest.mark.parametrize(
    ("given", "minor", "sentence"),
    [
        (spec(), 7, 'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)'),
        (
            hardened(securityContext={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}),
            31,
            "forbidden sysctls (net.ipv4.tcp_rmem)",
        ),
        (hardened(securityContext={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}), 32, ""),
        (hardened(securityContext={"seLinuxOptions": {"type": "container_engine_t"}}), 31, ""),
        (spec(container(**{**HARDENED, "runAsUser": 0})), 22, ""),
        (spec({"name": "a", "securityContext": {"runAsNonRoot": True}}, os={"name": "windows"}), 25, ""),
    ],
    ids=["1.7", "sysctl before", "sysctl since", "selinux", "user before", "windows"],
)
def test_versions(given, minor, sentence):
    assert forbidden(RESTRICTED, given, minor=minor) == sentence


@pytest.mark.parametrize(("text", "minor"), [("latest", LATEST), ("v1.0", 0), ("v1.32", 32)])
def test_version_texts(text, minor):
    assert parse_version(text) == minor
    assert str(LevelVersion(BASELINE, minor)) == f"baseline:{text}"


@pytest.mark.parametrize("text", ["1.32", "v1.01", "v2.0", "v1.", "newest", "v1.99999999999"])
def test_wrong_version_texts(text):
    with pytest.raises(ValueError, match=r'must be "latest" or "v1\.x"'):
        parse_version(text)


def labels(**modes):
    return {f"pod-security.kubernetes.io/{key.replace('_', '-')}": value for key, value in modes.items()}


def test_labels():
    policy, problems = policy_of(labels(enforce="restricted", enforce_version="v1.30"), Policy())
    assert (str(policy.enforce), str(policy.warn), str(policy.audit), problems) == (
        "restricted:v1.30",
        "restricted:v1.30",
        "privileged:latest",
        [],
    )
    policy, problems = policy_of(labels(enforce="strict", warn="x", audit_version="1"), Policy())
    assert (policy.enforce.level, policy.warn.level) == (RESTRICTED, "privileged"), "closed where it enforces"
    assert [str(each) for each in problems] == [
        'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, '
        "baseline, restricted",
        'metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: "1": must be "latest" or "v1.x"',
        'metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "x": must be one of privileged, baseline, '
        "restricted",
    ]


def namespace(name="a", **modes):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels(**modes)}}


async def check(storage, asked, configuration=None, **modes):
    """The review after the plug-in; its namespace has those labels."""
    await put(storage, NAMESPACES, namespace(**modes))
    async with lookup(storage, NAMESPACES) as namespaces:
        plugin = PodSecurity(namespaces, ObjectStore(PODS, storage), configuration or Configuration())
        await plugin.validate(asked)
    return asked


async def test_enforced_and_noted(storage):
    asked = review(pod(hostNetwork=True))
    with pytest.raises(ApiError) as refused:
        await check(storage, asked, enforce="baseline", audit="restricted")
    assert refused.value.message == (
        'pods "p" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
    annotations = asked.call.annotations
    assert annotations["pod-security.kubernetes.io/enforce-policy"] == "baseline:latest"
    assert annotations["pod-security.kubernetes.io/audit-violations"].startswith(
        'would violate PodSecurity "restricted:latest": host namespaces'
    )
    assert asked.call.warnings == []


async def test_warned_of(storage):
    asked = await check(storage, review(pod(hostPID=True)), warn="baseline")
    assert asked.call.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostPID=true)']


async def test_workloads_are_warned_never_refused(storage):
    template = {"metadata": {}, "spec": {"containers": [{"name": "c"}], "hostIPC": True}}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": template},
    }
    asked = await check(storage, review(workload, resource=DEPLOYMENTS), enforce="baseline")
    assert asked.call.warnings == ['would violate PodSecurity "baseline:latest": host namespaces (hostIPC=true)']


@pytest.mark.parametrize(
    ("configuration", "asked", "reason"),
    [
        (Configuration(namespaces=frozenset({"a"})), {}, "namespace"),
        (Configuration(usernames=frozenset({"root"})), {"user": "root"}, "user"),
        (Configuration(runtime_classes=frozenset({"kata"})), {}, "runtimeClass"),
    ],
    ids=["namespace", "user", "runtime class"],
)
async def test_exemptions(storage, configuration, asked, reason):
    found = await check(
        storage, review(pod(hostPID=True, runtimeClassName="kata"), **asked), configuration, enforce="restricted"
    )
    assert found.call.annotations == {"pod-security.kubernetes.io/exempt": reason}


async def test_defaults_hold_for_unlabelled_namespaces(storage):
    configuration = Configuration(Policy(enforce=LevelVersion(BASELINE)))
    with pytest.raises(ApiError, match='violates PodSecurity "baseline:latest"'):
        await check(storage, review(pod(hostPID=True)), configuration)


async def test_updates_that_change_no_image_pass(storage):
    old = pod(hostPID=True)
    await check(storage, review(old, operation="UPDATE", old=old), enforce="restricted")
    other = pod(hostPID=True, containers=[{"name": "c", "image": "other"}])
    async with lookup(storage, NAMESPACES) as namespaces:
        plugin = PodSecurity(namespaces, ObjectStore(PODS, storage), Configuration())
        with pytest.raises(ApiError):
            await plugin.validate(review(other, operation="UPDATE", old=old))
        debugged = pod(hostPID=True, ephemeralContainers=[{"name": "e", "image": "debug"}])
        with pytest.raises(ApiError):
            await plugin.validate(review(debugged, operation="UPDATE", old=old, subresource="ephemeralcontainers"))
        await plugin.validate(review(other, operation="UPDATE", old=old, subresource="status"))


async def test_a_namespaces_pods_are_looked_at_when_it_gets_stricter(storage):
    owner = [{"uid": "1", "controller": True, "name": "r"}]
    for name in ("web-1", "web-2", "web-3"):
        await put(storage, PODS, pod(name, metadata={"ownerReferences": owner}, hostPID=True))
    await put(storage, PODS, pod("alone", hostNetwork=True))
    await put(storage, PODS, pod("alone-too", hostNetwork=True, hostPID=True))
    asked = review(namespace(enforce="baseline"), resource=NAMESPACES, operation="UPDATE", old=namespace())
    await check(storage, asked)
    assert asked.call.warnings == [
        'existing pods in namespace "a" violate the new PodSecurity enforce level "baseline:latest"',
        "alone (and 4 other pods): host namespaces",
    ]


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ({"enforce": "privileged"}, {}),
        ({"enforce": "baseline"}, {"enforce": "restricted"}),
        ({}, {"enforce": "baseline"}),
    ],
    ids=["privileged", "relaxed", "gone"],
)
async def test_nothing_is_looked_at_when_it_gets_looser(storage, new, old):
    await put(storage, PODS, pod("p", hostPID=True))
    asked = review(namespace(**new), resource=NAMESPACES, operation="UPDATE", old=namespace(**old))
    assert (await check(storage, asked)).call.warnings == []


async def test_labels_must_be_right_when_they_are_new(storage):
    wrong = namespace(enforce="strict")
    with pytest.raises(ApiError) as refused:
        await check(storage, review(wrong, resource=NAMESPACES))
    assert refused.value.code == 422 and refused.value.message.startswith('Namespace "a" is invalid: metadata.labels')
    async with lookup(storage, NAMESPACES) as namespaces:
        plugin = PodSecurity(namespaces, ObjectStore(PODS, storage), Configuration())
        await plugin.validate(review(wrong, resource=NAMESPACES, operation="UPDATE", old=wrong))


async def test_an_exempt_namespace_is_told_that_its_labels_mean_nothing(storage):
    asked = review(namespace(enforce="baseline", warn_version="v1.30"), resource=NAMESPACES)
    await check(storage, asked, Configuration(namespaces=frozenset({"a"})))
    assert asked.call.warnings == [
        'namespace "a" is exempt from Pod Security, and the policy (enforce=baseline:latest, warn=baseline:v1.30) will '
        "be ignored"
    ]
