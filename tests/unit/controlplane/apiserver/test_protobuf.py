"""Protobuf bodies, encoded here by hand from the published field numbers."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.meta.status import ApiError
from controlplane.apiserver.front import protobuf
from controlplane.apiserver.front.protobuf_messages import MAGIC


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def enveloped(api_version: str, kind: str, raw: bytes) -> bytes:
    return MAGIC + field(1, field(1, api_version) + field(2, kind)) + field(2, raw)


def test_a_deployment_as_kubectl_creates_it():
    metadata = field(1, "web") + field(2, "") + field(8, b"") + field(11, field(1, "app") + field(2, "web"))
    port = field(1, "") + field(2, 0) + field(3, 80) + field(4, "")
    container = field(1, "nginx") + field(2, "nginx:1.27") + field(6, port) + field(16, 0)
    pod_spec = field(2, container) + field(3, "")
    template = field(1, field(11, field(1, "app") + field(2, "web"))) + field(2, pod_spec)
    selector = field(1, field(1, "app") + field(2, "web"))
    spec = field(1, 0) + field(2, selector) + field(3, template) + field(4, b"") + field(5, 0)
    document = protobuf.decode(enveloped("apps/v1", "Deployment", field(1, metadata) + field(2, spec)))
    assert document["metadata"] == {"name": "web", "labels": {"app": "web"}}
    assert document["spec"]["replicas"] == 0, "a pointer's zero is a value"
    assert "minReadySeconds" not in document["spec"], "a plain zero is none"
    assert document["spec"]["selector"] == {"matchLabels": {"app": "web"}}
    (found,) = document["spec"]["template"]["spec"]["containers"]
    assert found == {"name": "nginx", "image": "nginx:1.27", "ports": [{"containerPort": 80}]}


def test_bytes_quantities_times_and_embedded_fields():
    secret = enveloped("v1", "Secret", field(1, field(1, "s")) + field(2, field(1, "k") + field(2, b"\x00\xff")))
    assert protobuf.decode(secret)["data"] == {"k": "AP8="}
    limits = field(1, field(1, "cpu") + field(2, field(1, "500m")))
    pod = field(
        2, field(2, field(1, "c") + field(8, limits)) + field(1, field(1, "v") + field(2, field(6, field(1, "s"))))
    )
    spec = protobuf.decode(enveloped("v1", "Pod", pod))["spec"]
    assert spec["containers"] == [{"name": "c", "resources": {"limits": {"cpu": "500m"}}}]
    assert spec["volumes"] == [{"name": "v", "secret": {"secretName": "s"}}], "VolumeSource is embedded"
    lease = field(2, field(1, "me") + field(4, field(1, 1_700_000_000) + field(2, 5000)))
    assert protobuf.decode(enveloped("coordination.k8s.io/v1", "Lease", lease))["spec"] == {
        "holderIdentity": "me",
        "renewTime": "2023-11-14T22:13:20.000005Z",
    }


def test_int_or_string():
    budget = field(2, field(1, field(1, 1) + field(2, 0) + field(3, "50%")))
    assert protobuf.decode(enveloped("policy/v1", "PodDisruptionBudget", budget))["spec"] == {"minAvailable": "50%"}


def test_a_kind_without_protobuf_is_415():
    with pytest.raises(ApiError) as refused:
        protobuf.decode(enveloped("example.com/v1", "Widget", b""))
    assert refused.value.code == 415


KINDS = [("v1", "Pod"), ("v1", "PodList"), ("v1", "APIResourceList"), ("v1", "Status")]
EXTENDING = [("apiextensions.k8s.io/v1", "CustomResourceDefinition"), ("apiregistration.k8s.io/v1", "APIService")]


@given(st.sampled_from([*KINDS, *EXTENDING]), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(about: tuple[str, str], raw: bytes) -> None:
    try:
        document = protobuf.decode(enveloped(*about, raw))
    except ApiError as error:
        assert error.code == 400
    else:
        assert (document["apiVersion"], document["kind"]) == about


def test_schemas_and_what_may_stand_in_their_place():
    text = field(5, "string")
    numbers = (
        varint(9 << 3 | 1) + struct.pack("<d", 2.5) + field(8, field(1, b'{"a":[1]}')) + field(20, field(1, b'"x"'))
    )
    items = field(24, field(2, text) + field(2, b"")) + field(30, field(1, 0))
    dependencies = field(32, field(1, "d") + field(2, field(2, "other")))
    props = field(29, field(1, "a") + field(2, text + numbers)) + items + dependencies
    version = field(1, "v1") + field(4, field(1, props))
    crd = enveloped("apiextensions.k8s.io/v1", "CustomResourceDefinition", field(2, field(7, version)))
    assert protobuf.decode(crd)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == {
        "properties": {"a": {"type": "string", "maximum": 2.5, "default": {"a": [1]}, "enum": ["x"]}},
        "items": [{"type": "string"}, {}],
        "additionalProperties": False,
        "dependencies": {"d": ["other"]},
    }
