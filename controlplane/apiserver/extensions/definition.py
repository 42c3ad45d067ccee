"""A stored CustomResourceDefinition as the resources it serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apimachinery.api.catalogue import Subresource
from apimachinery.api.validation.pem_blocks import authorities_error
from apimachinery.meta.versions import preference
from controlplane.apiserver.admission.webhooks.client import WebhookClient
from controlplane.apiserver.registry.kinds import DefinedResource

Object = dict[str, Any]

ESTABLISHED, NAMES_ACCEPTED, TERMINATING = "Established", "NamesAccepted", "Terminating"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""In the order in which discovery shows them."""
_SUBRESOURCE_VERBS = ("get", "patch", "update")


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """What one definition serves. `resources`: every version, by name; `served`: the names of those that are served;
    `source`: what of the definition it was made of."""

    spec: Object
    resources: dict[str, DefinedResource]
    served: tuple[str, ...]
    source: Any

    @property
    def stored(self) -> DefinedResource:
        """The version that is kept in the store."""
        return self.resources[storage_version(self.spec)]


def source_of(definition: Object) -> Any:
    """What of a definition decides how it is served."""
    state = definition.get("status") or {}
    conditions = is_true(definition, ESTABLISHED), is_true(definition, TERMINATING)
    return definition["metadata"].get("uid"), definition["spec"], state.get("acceptedNames"), conditions


def condition(definition: Object, kind: str) -> Object | None:
    """The condition of that type in the status, or None."""
    return next(
        (each for each in (definition.get("status") or {}).get("conditions") or () if each.get("type") == kind), None
    )


def is_true(definition: Object, kind: str) -> bool:
    """Whether that condition says True."""
    found = condition(definition, kind)
    return found is not None and found.get("status") == "True"


def is_protected(group: str) -> bool:
    """Whether the group is the community's own: its kinds need an approval (KEP-1111)."""
    return f".{group}".endswith((".k8s.io", ".kubernetes.io"))


def storage_version(spec: Object) -> str:
    """The name of the version that is stored."""
    return next((str(each.get("name") or "") for each in spec.get("versions") or () if each.get("storage")), "")


def bundle_error(spec: Object) -> str:
    """What is wrong with the authorities by which a converting webhook is known, or ""."""
    client = ((spec.get("conversion") or {}).get("webhook") or {}).get("clientConfig") or {}
    return authorities_error(client.get("caBundle") or "")


def build(definition: Object, webhooks: WebhookClient) -> Definition | None:
    """What an established definition serves; None for one that is not. webhooks: asks those that convert."""
    spec, state = definition["spec"], definition.get("status") or {}
    if not is_true(definition, ESTABLISHED):
        return None
    names = state.get("acceptedNames") or {}
    stored = storage_version(spec)
    terminating = is_true(definition, TERMINATING)
    # Loads CEL and RE2, which a server without definitions need not.
    from controlplane.apiserver.extensions.version import VersionRules

    settled = definition["metadata"].get("generation", 1) == 1
    resources: dict[str, DefinedResource] = {}
    for version in spec["versions"]:
        rules = VersionRules(spec, version, webhooks, settled=settled)
        resources[version["name"]] = DefinedResource(
            group=spec["group"],
            version=version["name"],
            kind=spec["names"]["kind"],
            plural=spec["names"]["plural"],
            singular=names.get("singular") or "",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            namespaced=spec.get("scope") == "Namespaced",
            verbs=tuple(verb for verb in _VERBS if verb != "create") if terminating else _VERBS,
            subresources=tuple(_subresources(spec, version)),
            storage_group=spec["group"],
            storage_version=stored,
            rules=rules,
            definition=version,
            listed_as=names.get("listKind") or spec["names"]["kind"] + "List",
            versions=resources,
        )
    return Definition(spec, resources, served_versions(spec), source_of(definition))


def _subresources(spec: Object, version: Object) -> list[Subresource]:
    below = version.get("subresources") or {}
    found = []
    if below.get("status") is not None:
        kind = spec["names"]["kind"]
        found.append(Subresource("status", kind, spec["group"], version["name"], _SUBRESOURCE_VERBS))
    if below.get("scale") is not None:
        found.append(Subresource("scale", "Scale", "autoscaling", "v1", _SUBRESOURCE_VERBS))
    return found


def served_versions(spec: Object) -> tuple[str, ...]:
    """The names of the served versions by Kubernetes' order: v2, v1, v1beta2, v1alpha1, then others by letter."""
    names = [str(each["name"]) for each in spec.get("versions") or () if each.get("served")]
    return tuple(sorted(names, key=preference))
