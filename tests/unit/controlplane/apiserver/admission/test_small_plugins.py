"""The plug-ins that do one small thing each."""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apimachinery.api.catalogue import (
    CATALOGUE,
    EVENTS,
    INGRESSCLASSES,
    NAMESPACES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    RUNTIMECLASSES,
    SERVICES,
    STORAGECLASSES,
)
from apimachinery.meta.status import ApiError
from controlplane.apiserver.admission.always import AlwaysDeny
from controlplane.apiserver.admission.always_pull_images import AlwaysPullImages
from controlplane.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from controlplane.apiserver.admission.default_ingress_class import DefaultIngressClass
from controlplane.apiserver.admission.default_storage_class import DefaultStorageClass
from controlplane.apiserver.admission.deny_service_external_ips import DenyServiceExternalIPs
from controlplane.apiserver.admission.event_rate_limit import EventRateLimit, Limit
from controlplane.apiserver.admission.extended_resource_toleration import ExtendedResourceToleration
from controlplane.apiserver.admission.limit_pod_hard_anti_affinity_topology import LimitPodHardAntiAffinityTopology
from controlplane.apiserver.admission.namespace_exists import NamespaceExists
from controlplane.apiserver.admission.owner_references_permission_enforcement import (
    OwnerReferencesPermissionEnforcement,
)
from controlplane.apiserver.admission.persistent_volume_claim_resize import PersistentVolumeClaimResize
from controlplane.apiserver.admission.pod_toleration_restriction import ALLOWED, DEFAULTS, PodTolerationRestriction
from controlplane.apiserver.admission.runtime_class import RuntimeClass
from controlplane.apiserver.admission.storage_object_in_use_protection import StorageObjectInUseProtection
from controlplane.apiserver.authz.attributes import Decision
from tests.unit.controlplane.apiserver.admission.reviews import deny, lookup, pod, put, review

INGRESSES = CATALOGUE.find("networking.k8s.io", "v1", "ingresses")
REQUESTS = CATALOGUE.find("certificates.k8s.io", "v1", "certificatesigningrequests")


async def refusal(action) -> str:
    with pytest.raises(ApiError) as refused:
        await action
    assert refused.value.code == 403
    return refused.value.message.partition(" is forbidden: ")[2]


async def test_a_namespace_must_exist_for_every_operation(storage):
    async with lookup(storage, NAMESPACES) as namespaces:
        plugin = NamespaceExists(namespaces)
        with pytest.raises(ApiError, match='namespaces "a" not found'):
            await plugin.validate(review(pod(), operation="UPDATE", old=pod()))
        await put(storage, NAMESPACES, {"metadata": {"name": "a"}})
        await plugin.validate(review(pod(), operation="UPDATE", old=pod()))
        await plugin.validate(review({"metadata": {"name": "new"}}, resource=NAMESPACES))


async def test_nothing_passes_always_deny():
    assert await refusal(AlwaysDeny().mutate(review(pod()))) == "admission control is denying all modifications"


async def test_a_pod_may_not_keep_a_zone_to_itself():
    term = {"topologyKey": "topology.kubernetes.io/zone"}
    anti = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    plugin = LimitPodHardAntiAffinityTopology()
    assert "has TopologyKey topology.kubernetes.io/zone but only key kubernetes.io/hostname is allowed" in (
        await refusal(plugin.validate(review(pod(affinity=anti))))
    )
    term["topologyKey"] = "kubernetes.io/hostname"
    await plugin.validate(review(pod(affinity=anti)))


async def test_images_are_always_pulled():
    obj = pod(initContainers=[{"name": "i", "image": "x", "imagePullPolicy": "Never"}])
    plugin = AlwaysPullImages()
    with pytest.raises(ApiError, match='Unsupported value: "Never": supported values: "Always"'):
        await plugin.validate(review(obj))
    await plugin.mutate(review(obj))
    await plugin.validate(review(obj))
    assert {each["imagePullPolicy"] for each in obj["spec"]["containers"] + obj["spec"]["initContainers"]} == {"Always"}
    await plugin.validate(review(pod(), operation="UPDATE", old=pod()))


async def test_a_device_brings_its_toleration():
    obj = pod(containers=[{"name": "c", "resources": {"requests": {"example.com/gpu": "1", "cpu": "1"}}}])
    for _ in range(2):
        await ExtendedResourceToleration().mutate(review(obj))
    assert obj["spec"]["tolerations"] == [{"key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def marked(name, created, annotation):
    meta = {"name": name, "creationTimestamp": created, "annotations": {annotation: "true"}}
    return {"metadata": meta, "provisioner": "p"}


async def test_the_newest_default_storage_class_is_given(storage):
    annotation = "storageclass.kubernetes.io/is-default-class"
    for name, created in (
        ("old", "2020-01-01T00:00:00Z"),
        ("z", "2024-01-01T00:00:00Z"),
        ("b", "2024-01-01T00:00:00Z"),
    ):
        await put(storage, STORAGECLASSES, marked(name, created, annotation))
    await put(storage, STORAGECLASSES, {"metadata": {"name": "plain", "creationTimestamp": "2025-01-01T00:00:00Z"}})
    async with lookup(storage, STORAGECLASSES) as classes:
        plugin = DefaultStorageClass(classes)

        async def given(spec, annotations=None):
            claim = {"metadata": {"name": "c", "annotations": annotations or {}}, "spec": spec}
            await plugin.mutate(review(claim, resource=PERSISTENTVOLUMECLAIMS))
            return claim["spec"].get("storageClassName")

        assert await given({}) == "b"
        assert await given({"storageClassName": ""}) == ""
        assert await given({}, {"volume.beta.kubernetes.io/storage-class": "x"}) is None


async def test_the_default_ingress_class_is_given(storage):
    annotation = "ingressclass.kubernetes.io/is-default-class"
    async with lookup(storage, INGRESSCLASSES) as classes:
        plugin, ingress = DefaultIngressClass(classes), {"metadata": {"name": "i"}, "spec": {}}
        await plugin.mutate(review(ingress, resource=INGRESSES))
        assert ingress["spec"] == {}
    await put(storage, INGRESSCLASSES, marked("nginx", "2020-01-01T00:00:00Z", annotation))
    async with lookup(storage, INGRESSCLASSES) as classes:
        plugin = DefaultIngressClass(classes)
        await plugin.mutate(review(ingress, resource=INGRESSES))
        assert ingress["spec"] == {"ingressClassName": "nginx"}
        old = {"metadata": {"name": "i", "annotations": {"kubernetes.io/ingress.class": "x"}}}
        await plugin.mutate(review(old, resource=INGRESSES))
        assert "spec" not in old


@pytest.mark.parametrize(
    ("resource", "finalizer"),
    [
        (PERSISTENTVOLUMES, "kubernetes.io/pv-protection"),
        (PERSISTENTVOLUMECLAIMS, "kubernetes.io/pvc-protection"),
    ],
    ids=["volume", "claim"],
)
async def test_storage_in_use_is_protected(resource, finalizer):
    obj = {"metadata": {"name": "x", "finalizers": ["mine"]}}
    for _ in range(2):
        await StorageObjectInUseProtection().mutate(review(obj, resource=resource))
    assert obj["metadata"]["finalizers"] == ["mine", finalizer]


async def test_who_may_grow_a_claim(storage):
    await put(storage, STORAGECLASSES, {"metadata": {"name": "grows"}, "allowVolumeExpansion": True})
    await put(storage, STORAGECLASSES, {"metadata": {"name": "stays"}})

    def claim(size, name, phase="Bound"):
        spec = {"resources": {"requests": {"storage": size}}, "storageClassName": name}
        return {"metadata": {"name": "c"}, "spec": spec, "status": {"phase": phase}}

    async with lookup(storage, STORAGECLASSES) as classes:

        async def grow(name, phase="Bound", to="2Gi"):
            new, old = claim(to, name), claim("1Gi", name, phase)
            asked = review(new, resource=PERSISTENTVOLUMECLAIMS, operation="UPDATE", old=old)
            await PersistentVolumeClaimResize(classes).validate(asked)

        await grow("grows")
        await grow("stays", to="1024Mi")
        assert (await refusal(grow("stays"))).startswith("only dynamically provisioned pvc can be resized")
        assert await refusal(grow("grows", "Pending")) == "Only bound persistent volume claims can be expanded"


async def test_a_runtime_class_brings_overhead_and_place(storage):
    scheduling = {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}
    await put(
        storage,
        RUNTIMECLASSES,
        {"metadata": {"name": "kata"}, "overhead": {"podFixed": {"cpu": "250m"}}, "scheduling": scheduling},
    )
    async with lookup(storage, RUNTIMECLASSES) as classes:
        plugin = RuntimeClass(classes)
        obj = pod(runtimeClassName="kata", nodeSelector={"zone": "a"})
        await plugin.mutate(review(obj))
        await plugin.validate(review(obj))
        assert obj["spec"]["overhead"] == {"cpu": "250m"}
        assert obj["spec"]["nodeSelector"] == {"zone": "a", "vm": "yes"}
        assert obj["spec"]["tolerations"] == [{"key": "vm", "operator": "Exists"}]
        other = pod(runtimeClassName="kata", nodeSelector={"vm": "no"})
        assert (
            await refusal(plugin.mutate(review(other)))
        ) == "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no"
        assert 'RuntimeClass "gone" not found' in await refusal(plugin.mutate(review(pod(runtimeClassName="gone"))))
        assert "doesn't match RuntimeClass's defined Overhead" in (
            await refusal(plugin.mutate(review(pod(runtimeClassName="kata", overhead={"cpu": "1"}))))
        )
        assert "without corresponding RuntimeClass" in await refusal(
            plugin.validate(review(pod(overhead={"cpu": "1"})))
        )


async def test_external_addresses_may_go_but_not_come():
    plugin = DenyServiceExternalIPs()
    without, with_one = (
        {"metadata": {"name": "s"}, "spec": {}},
        {"metadata": {"name": "s"}, "spec": {"externalIPs": ["1.2.3.4"]}},
    )
    assert await refusal(plugin.validate(review(with_one, resource=SERVICES))) == (
        "Use of external IPs is denied by admission control"
    )
    await plugin.validate(review(without, resource=SERVICES, operation="UPDATE", old=with_one))
    await plugin.validate(review(with_one, resource=SERVICES, operation="UPDATE", old=with_one))


def signing_request(signer="kubernetes.io/kube-apiserver-client", organization="devs", **status):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "bob"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization),
        ]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    spec = {"signerName": signer, "request": base64.b64encode(pem).decode()}
    return {"metadata": {"name": "r"}, "spec": spec, "status": status}


async def test_who_may_approve_and_sign():
    asked = []

    async def only_domain(attributes):
        asked.append((attributes.verb, attributes.resource, attributes.name))
        return (Decision.ALLOW if attributes.name == "example.com/*" else Decision.NO_OPINION), ""

    def update(subresource, authorize, **status):
        new, old = signing_request("example.com/x", **status), signing_request("example.com/x")
        return review(new, resource=REQUESTS, operation="UPDATE", old=old, subresource=subresource, authorize=authorize)

    await CertificateApproval().validate(update("approval", only_domain))
    assert asked == [("approve", "signers", "example.com/x"), ("approve", "signers", "example.com/*")]
    assert await refusal(CertificateApproval().validate(update("approval", deny))) == (
        'user not permitted to approve requests with signerName "example.com/x"'
    )
    assert await refusal(CertificateSigning().validate(update("status", deny, certificate="YQ=="))) == (
        'user not permitted to sign requests with signerName "example.com/x"'
    )
    await CertificateSigning().validate(update("status", deny))


async def test_nobody_becomes_a_master_by_certificate():
    plugin = CertificateSubjectRestriction()
    bad = signing_request(organization="system:masters")
    assert await refusal(plugin.validate(review(bad, resource=REQUESTS))) == (
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    )
    await plugin.validate(review(signing_request(), resource=REQUESTS))
    await plugin.validate(review(signing_request("other/x", "system:masters"), resource=REQUESTS))
    broken = {"metadata": {"name": "r"}, "spec": {**bad["spec"], "request": "!"}}
    assert "failed to parse CSR" in await refusal(plugin.validate(review(broken, resource=REQUESTS)))


async def test_an_owner_is_set_by_those_who_may():
    async def no_finalizers(attributes):
        return (Decision.NO_OPINION if attributes.subresource == "finalizers" else Decision.ALLOW), ""

    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1", "blockOwnerDeletion": True}
    plugin = OwnerReferencesPermissionEnforcement(CATALOGUE.by_kind)
    owned = pod(metadata={"ownerReferences": [owner]})
    await plugin.validate(review(owned))
    await plugin.validate(review(owned, operation="UPDATE", old=owned, authorize=deny))
    assert (await refusal(plugin.validate(review(owned, authorize=deny)))).startswith(
        "cannot set an ownerRef on a resource you can't delete: nobody allows it"
    )
    assert "a resource you can't set finalizers on" in (
        await refusal(plugin.validate(review(owned, authorize=no_finalizers)))
    )
    await plugin.validate(
        review(pod(metadata={"ownerReferences": [{**owner, "blockOwnerDeletion": False}]}), authorize=no_finalizers)
    )
    strange = pod(metadata={"ownerReferences": [{**owner, "kind": "Ghost"}]})
    assert 'no matches for kind "Ghost" in version "apps/v1"' in await refusal(plugin.validate(review(strange)))


async def test_a_namespaces_tolerations(storage):
    annotations = {
        DEFAULTS: '[{"key": "team", "operator": "Exists"}]',
        ALLOWED: '[{"key": "team", "operator": "Exists"}]',
    }
    await put(storage, NAMESPACES, {"metadata": {"name": "a", "annotations": annotations}})
    await put(storage, NAMESPACES, {"metadata": {"name": "b"}})
    async with lookup(storage, NAMESPACES) as namespaces:
        plugin = PodTolerationRestriction(namespaces, [{"key": "cluster", "operator": "Exists"}], [])
        obj = pod()
        await plugin.mutate(review(obj))
        assert obj["spec"]["tolerations"] == [{"key": "team", "operator": "Exists"}]
        other = pod(tolerations=[{"key": "gpu", "operator": "Exists"}])
        assert "conflict with its namespace whitelist" in await refusal(plugin.mutate(review(other)))
        elsewhere = pod(containers=[{"name": "c", "resources": {"requests": {"cpu": "1"}}}])
        await plugin.mutate(review(elsewhere, namespace="b"))
        assert [each["key"] for each in elsewhere["spec"]["tolerations"]] == [
            "cluster",
            "node.kubernetes.io/memory-pressure",
        ]


async def test_events_come_from_a_bucket():
    now = [0.0]
    plugin = EventRateLimit([Limit("Namespace", 1, 2)], lambda: now[0])

    async def event(namespace="a"):
        await plugin.validate(review({"metadata": {"name": "e"}}, resource=EVENTS, namespace=namespace))

    await event()
    await event()
    with pytest.raises(ApiError) as refused:
        await event()
    assert (refused.value.code, refused.value.message) == (429, "limit reached on type Namespace for key a")
    await event("b")
    now[0] = 1.0
    await event()
