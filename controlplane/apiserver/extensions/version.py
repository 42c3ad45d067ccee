"""One version of a defined kind: how its objects are read, shown, scaled and brought into its form."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any

from apimachinery.api.schema import SCHEMA
from apimachinery.meta import status
from apimachinery.meta.numbers import with_whole_numbers
from apimachinery.meta.objects import copied
from apimachinery.meta.versions import preference as version_order
from controlplane.apiserver.admission.webhooks.client import WebhookClient
from controlplane.apiserver.extensions import structural
from controlplane.apiserver.extensions.columns import Columns
from controlplane.apiserver.extensions.converting import Converter
from controlplane.apiserver.extensions.patching import NodeMeta
from controlplane.apiserver.extensions.paths import dotted, find
from controlplane.apiserver.extensions.rules import Rules
from controlplane.apiserver.registry.call import Call

Object = dict[str, Any]

_SCALE_META = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class VersionRules:
    """The KindRules of one entry of spec.versions. Everything that costs is made at its first use."""

    def __init__(self, spec: Object, version: Object, webhooks: WebhookClient, *, settled: bool) -> None:
        self._spec, self._version, self._webhooks, self.settled = spec, version, webhooks, settled
        self.api_version = f"{spec['group']}/{version['name']}"

    @cached_property
    def schema(self) -> Object:
        """The version's openAPIV3Schema, as it was written."""
        found: Object = (self._version.get("schema") or {}).get("openAPIV3Schema") or {}
        if self._spec.get("preserveUnknownFields"):
            found = {**found, "x-kubernetes-preserve-unknown-fields": True}
        return found

    @cached_property
    def node(self) -> structural.Node:
        """The schema as objects are shaped by it."""
        return structural.build(self.schema)

    @cached_property
    def rules(self) -> Rules | None:
        """The x-kubernetes-validations; None without any, so that nothing of CEL is loaded."""
        return Rules.of(self.schema)

    @cached_property
    def patch_meta(self) -> NodeMeta:
        return NodeMeta(self.schema, whole=True)

    @cached_property
    def _columns(self) -> Columns:
        return Columns(self._version.get("additionalPrinterColumns"))

    @property
    def column_definitions(self) -> list[Object]:
        return self._columns.definitions

    def cells(self, obj: Object, now: datetime) -> list[Any]:
        return self._columns.cells(obj, now)

    @cached_property
    def warning(self) -> str:
        """What a client of a deprecated version is told; "" for one that is not."""
        if not self._version.get("deprecated"):
            return ""
        said, kind = self._version.get("deprecationWarning"), self._spec["names"]["kind"]
        if said:
            return str(said)
        mine = version_order(self._version["name"])
        better = [
            each["name"]
            for each in self._spec["versions"]
            if each.get("served") and not each.get("deprecated") and version_order(each["name"]) < mine
        ]
        use = f"; use {self._spec['group']}/{min(better, key=version_order)} {kind}" if better else ""
        return f"{self.api_version} {kind} is deprecated{use}"

    def read(self, call: Call, obj: Object, where: str) -> Object:
        obj = with_whole_numbers(obj)
        call.check_fields(self.drop_unknown(obj, where), where)
        structural.fill_defaults(obj, self.node)
        return obj

    def drop_unknown(self, obj: Object, where: str) -> list[str]:
        unknown: list[str] = []
        obj["metadata"] = _metadata(obj.get("metadata"), where, "metadata", unknown)
        unknown += structural.prune(obj, self.node, envelope=True)
        for path, inner in structural.embedded_objects(obj, self.node):
            if "metadata" in inner:
                inner["metadata"] = _metadata(inner["metadata"], where, f"{path}.metadata", unknown)
        return sorted(unknown)

    def convert(self, obj: Object) -> Object:
        if self.settled and obj.get("apiVersion") == self.api_version:
            return obj
        converted: Object = copied(obj)
        converted["apiVersion"] = self.api_version
        return self._shaped(converted)

    @cached_property
    def converter(self) -> Converter | None:
        """The webhook that converts; None when only the apiVersion changes."""
        conversion = self._spec.get("conversion") or {}
        if conversion.get("strategy") != "Webhook":
            return None
        return Converter(conversion.get("webhook") or {}, self._webhooks)

    async def convert_all(self, objects: list[Object]) -> list[Object]:
        if self.converter is None:
            return [self.convert(obj) for obj in objects]
        made = await self.converter.convert(objects, self.api_version)
        pairs = zip(made, objects, strict=True)
        return [self.convert(obj) if obj is before else self._shaped(obj) for obj, before in pairs]

    def _shaped(self, obj: Object) -> Object:
        """Pruned and defaulted: what a webhook made, or was stored under another schema."""
        structural.prune(obj, self.node, envelope=True)
        structural.fill_defaults(obj, self.node)
        return obj

    def scale_of(self, obj: Object) -> Object:
        about = self._version["subresources"]["scale"]
        replicas = find(obj, dotted(about["specReplicasPath"]))
        ready = find(obj, dotted(about["statusReplicasPath"]))
        wanted = replicas[0] if replicas and type(replicas[0]) is int else 0
        selector = find(obj, dotted(about["labelSelectorPath"])) if about.get("labelSelectorPath") else []
        meta = obj["metadata"]
        state: Object = {"replicas": ready[0] if ready and type(ready[0]) is int else 0}
        if selector and isinstance(selector[0], str):
            state["selector"] = selector[0]
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {field: meta[field] for field in _SCALE_META if field in meta},
            "spec": {"replicas": wanted} if wanted else {},
            "status": state,
        }

    def missing_replicas(self, obj: Object) -> str:
        path = str(self._version["subresources"]["scale"]["specReplicasPath"])
        found = find(obj, dotted(path))
        return "" if found and type(found[0]) is int else path

    def with_replicas(self, obj: Object, replicas: int) -> Object:
        changed: Object = copied(obj)
        *steps, (_, last) = dotted(self._version["subresources"]["scale"]["specReplicasPath"])
        node = changed
        for _, name in steps:
            node = node.setdefault(name, {})
        node[last] = replicas
        return changed

    @cached_property
    def selects_as_stored(self) -> bool:
        if self.settled and self._version.get("storage"):
            return True  # everything was written in this version, by this schema
        if len(self._spec["versions"]) > 1 and self.converter is not None:
            return False
        return not any(self._has_default(each["jsonPath"]) for each in self._version.get("selectableFields") or ())

    def _has_default(self, path: str) -> bool:
        """Whether the value there may be a default's, its own or one around it."""
        node = self.schema
        for _, name in dotted(path):
            node = (node.get("properties") or {}).get(name) or {}
            if "default" in node:
                return True
        return False

    def selectable(self, obj: Object) -> dict[str, str]:
        """The selectable fields (spec.versions[*].selectableFields) with their values; "" for an absent one."""
        found: dict[str, str] = {}
        for each in self._version.get("selectableFields") or ():
            path = each["jsonPath"]
            values = find(obj, dotted(path))
            value = values[0] if values else ""
            found[path.removeprefix(".")] = "true" if value is True else "false" if value is False else str(value)
        return found


def _metadata(found: Any, where: str, path: str, unknown: list[str]) -> Object:
    """ObjectMeta as every kind has it: types checked, unknown fields dropped."""
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise status.Undecodable(where, f"json: cannot unmarshal {_go_kind(found)} into Go value of type v1.ObjectMeta")
    decoded = SCHEMA.decode_part("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", found)
    if decoded.error is not None:
        raise status.Undecodable(where, decoded.error)
    unknown += [f"{path}.{each}" for each in decoded.unknown]
    return decoded.object


def _go_kind(value: Any) -> str:
    if isinstance(value, list):
        return "array"
    if isinstance(value, bool):
        return "bool"
    return "string" if isinstance(value, str) else "number"
