"""Aggregated discovery in protobuf, read by the protobuf library with the fields of k8s.io/api/apidiscovery/v2."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from apimachinery.api.catalogue import CATALOGUE
from controlplane.apiserver.discovery.documents import aggregated
from controlplane.apiserver.front.discovery_protobuf import group_discovery_list
from controlplane.apiserver.front.protobuf_messages import MAGIC

# Field: number, type (a message, or text when empty), whether it is a list.
MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "Kind": {"group": (1, "", False), "version": (2, "", False), "kind": (3, "", False)},
    "Meta": {"name": (1, "", False)},
    "Subresource": {
        "subresource": (1, "", False),
        "responseKind": (2, "Kind", False),
        "acceptedTypes": (3, "Kind", True),
        "verbs": (4, "", True),
    },
    "Resource": {
        "resource": (1, "", False),
        "responseKind": (2, "Kind", False),
        "scope": (3, "", False),
        "singularResource": (4, "", False),
        "verbs": (5, "", True),
        "shortNames": (6, "", True),
        "categories": (7, "", True),
        "subresources": (8, "Subresource", True),
    },
    "Version": {"version": (1, "", False), "resources": (2, "Resource", True), "freshness": (3, "", False)},
    "Group": {"metadata": (1, "Meta", False), "versions": (2, "Version", True)},
    "List": {"items": (2, "Group", True)},
    "TypeMeta": {"apiVersion": (1, "", False), "kind": (2, "", False)},
    "Unknown": {"typeMeta": (1, "TypeMeta", False), "raw": (2, "List", False)},
}


@pytest.fixture(scope="module")
def envelope() -> Any:
    """The class of runtime.Unknown, as the library makes it."""
    file = descriptor_pb2.FileDescriptorProto(name="discovery.proto", package="d", syntax="proto2")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, many) in fields.items():
            added = message.field.add(name=field, json_name=field, number=number, label=3 if many else 1)
            added.type = 11 if kind else 9
            if kind:
                added.type_name = f".d.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("d.Unknown"))


def plain(node: Any) -> Any:
    """Without what Go leaves out of JSON, or writes there empty."""
    if isinstance(node, dict):
        kept = {key: plain(value) for key, value in node.items() if key != "creationTimestamp"}
        return {key: value for key, value in kept.items() if value not in ("", {}, [])}
    return [plain(each) for each in node] if isinstance(node, list) else node


@pytest.mark.parametrize("core", [True, False], ids=["core", "groups"])
def test_as_in_json(envelope: Any, core: bool) -> None:
    document = aggregated(CATALOGUE, core)
    written = group_discovery_list(document)
    assert written.startswith(MAGIC)
    found = json_format.MessageToDict(envelope.FromString(written[len(MAGIC) :]), preserving_proto_field_name=True)
    assert found["typeMeta"] == {"apiVersion": "apidiscovery.k8s.io/v2", "kind": "APIGroupDiscoveryList"}
    assert plain(found["raw"]["items"]) == plain(document["items"])
