"""A CustomResourceDefinition of a test's own, and requests for its objects."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import yaml

from tests.integration.process import ControlPlane

Object = dict[str, Any]

_NUMBERS = itertools.count(1)
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SPEC: Object = {
    "type": "object",
    "description": "What is wanted.",
    "required": ["schedule"],
    "x-kubernetes-validations": [
        {"rule": "self.replicas <= self.maxReplicas", "message": "too many replicas", "fieldPath": ".replicas"},
        {
            "rule": "self.schedule == oldSelf.schedule",
            "messageExpression": "'schedule was ' + oldSelf.schedule",
            "reason": "FieldValueForbidden",
        },
    ],
    "properties": {
        "schedule": {"type": "string", "pattern": "^[0-9* ]+$", "description": "When."},
        "image": {"type": "string", "maxLength": 5},
        "replicas": {"type": "integer", "minimum": 0, "maximum": 10, "default": 1},
        "maxReplicas": {"type": "integer", "default": 5},
        "maybe": {"type": "string", "nullable": True},
        "level": {"type": "string", "enum": ["low", "high"]},
        "port": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "atom": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "template": {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {
                "type": "object",
                "required": ["port"],
                "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                    "name": {"type": "string"},
                },
            },
        },
    },
}
STATUS: Object = {
    "type": "object",
    "properties": {"replicas": {"type": "integer"}, "labelSelector": {"type": "string"}},
}


class Kind:
    """A definition of the test's own: its group and names are unique."""

    def __init__(self, plane: ControlPlane, **changes: Any) -> None:
        self.plane, number = plane, next(_NUMBERS)
        self.group, self.plural, self.kind = f"t{number}.example.com", f"crons{number}", f"Cron{number}"
        self.name, self.api_version = f"{self.plural}.{self.group}", f"{self.group}/v1"
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}},
            "subresources": {
                "status": {},
                "scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.labelSelector",
                },
            },
            "selectableFields": [{"jsonPath": ".spec.schedule"}],
            "additionalPrinterColumns": [
                {"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"},
                {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "priority": 1},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
        }
        names = {"plural": self.plural, "kind": self.kind, "shortNames": [f"cr{number}"], "categories": ["mine"]}
        self.definition: Object = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.name},
            "spec": {"group": self.group, "scope": "Namespaced", "names": names, "versions": [version], **changes},
        }

    @property
    def version(self) -> Object:
        found: Object = self.definition["spec"]["versions"][0]
        return found

    @property
    def spec(self) -> Object:
        """The schema of spec, a copy that the test may change."""
        self.version["schema"] = orjson.loads(orjson.dumps(self.version["schema"]))
        found: Object = self.version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        return found

    def apply(self) -> Kind:
        """Create or update it; wait until it is established."""
        self.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(self.definition))
        self.plane.kubectl("wait", "--for=condition=Established", f"crd/{self.name}", "--timeout=120s")
        return self

    def path(self, namespace: str, name: str = "", version: str = "v1") -> str:
        path = f"/apis/{self.group}/{version}/namespaces/{namespace}/{self.plural}"
        return f"{path}/{name}" if name else path

    def object(self, name: str, **spec: Any) -> Object:
        metadata = {"name": name}
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": metadata,
            "spec": {"schedule": "* 5", **spec},
        }

    def create(self, namespace: str, name: str, **spec: Any) -> Object:
        answer = self.plane.request("POST", self.path(namespace), self.object(name, **spec))
        assert answer.code == 201, answer.body
        found: Object = answer.json
        return found

    def refused(self, namespace: str, **spec: Any) -> str:
        """The message against an object."""
        answer = self.plane.request("POST", self.path(namespace), self.object("bad", **spec))
        assert answer.code == 422, answer.body
        found: str = answer.json["message"]
        return found
