"""Upstream's semantic validation: what a well-formed, defaulted object is refused for, in the same words.

Every function returns all problems at once and changes nothing. `table` says which rules
a kind has. The objects must have been decoded and defaulted.
"""

from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.api.validation import events, pod_updates, pods
from apimachinery.api.validation.certificates import signing_request_approval
from apimachinery.api.validation.metadata import object_meta, object_meta_update, path_segment, standard_finalizers
from apimachinery.api.validation.namespaces import namespace_finalize
from apimachinery.api.validation.pod_resize import pod_resize
from apimachinery.api.validation.reviews import access_review
from apimachinery.api.validation.rules import Rules
from apimachinery.api.validation.table import RULES
from apimachinery.meta import names
from apimachinery.meta.paths import Problem

Object = dict[str, Any]


def _rules(resource: Resource) -> Rules:
    return RULES.get(resource.gvk) or Rules()


def _finalizers(rules: Rules, obj: Object) -> list[Problem]:
    return [] if rules.any_finalizers else standard_finalizers(obj)


def _meta_update(new: Object, old: Object) -> list[Problem]:
    return object_meta_update(new, old) + standard_finalizers(new)


def validate_create(resource: Resource, obj: Object) -> list[Problem]:
    """What a new object is refused for. Its name must already have been generated."""
    rules = _rules(resource)
    problems = object_meta(obj, resource.namespaced, rules.name) + _finalizers(rules, obj)
    return problems + rules.check(obj) + rules.create(obj)


def validate_update(resource: Resource, new: Object, old: Object) -> list[Problem]:
    """What a change of an object (not of its status) is refused for."""
    rules = _rules(resource)
    problems, changes = rules.check(new), rules.update(new, old)
    meta = object_meta_update(new, old) + _finalizers(rules, new)
    return meta + (changes + problems if rules.change_first else problems + changes)


def validate_status_update(resource: Resource, new: Object, old: Object) -> list[Problem]:
    """What a write to the status subresource is refused for."""
    rules = _rules(resource)
    return object_meta_update(new, old) + _finalizers(rules, new) + rules.status(new, old)


def validate_name(resource: Resource, name: str) -> list[str]:
    """The sentences against a name, an empty list when an object of this kind may bear it."""
    return _rules(resource).name(name)


def validate_binding(obj: Object) -> list[Problem]:
    """What a Binding is refused for (pods/binding)."""
    return pods.binding(obj)


def validate_finalize(new: Object, old: Object) -> list[Problem]:
    """What a write to namespaces/finalize is refused for."""
    return _meta_update(new, old) + namespace_finalize(new, old)


def validate_approval(new: Object, old: Object) -> list[Problem]:
    """What a write to certificatesigningrequests/approval is refused for."""
    return _meta_update(new, old) + signing_request_approval(new, old)


def validate_event_create(obj: Object, *, new_style: bool) -> list[Problem]:
    """What a new Event (as core/v1) is refused for. new_style: it was sent to events.k8s.io, which asks for more."""
    problems = events.event(obj, new_style=new_style)
    if not new_style:
        # Upstream asks no more of the old kind than of anything that is stored.
        return problems or object_meta(obj, True, path_segment)
    return problems + object_meta(obj, True, names.dns1123_subdomain) + events.new_event(obj)


def validate_event_update(new: Object, old: Object, *, new_style: bool) -> list[Problem]:
    """What a change of an Event (as core/v1) is refused for."""
    problems = object_meta_update(new, old) + events.event(new, new_style=new_style)
    return problems + (events.event_update(new, old) if new_style else [])


def validate_access_review(kind: str, obj: Object, namespace: str) -> list[Problem]:
    """What a question of authorization.k8s.io is refused for. namespace: the request's."""
    return access_review(kind, obj, namespace)


def validate_ephemeral_containers_update(new: Object, old: Object) -> list[Problem]:
    """What a write to pods/ephemeralcontainers is refused for."""
    return _meta_update(new, old) + pods.pod(new) + pod_updates.ephemeral_containers_update(new, old)


def validate_pod_resize(new: Object, old: Object) -> list[Problem]:
    """What a write to pods/resize is refused for."""
    return _meta_update(new, old) + pods.pod(new) + pod_resize(new, old)
