"""What a CustomResourceDefinition is refused for, apart from its schemas
(k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation).

Upstream's internal form keeps what all versions share at the top: a definition whose versions have one schema is told
of `spec.validation.openAPIV3Schema`. So it is here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from apimachinery.api.validation.go_values import go_bytes, go_strings
from apimachinery.api.validation.metadata import object_meta, object_meta_update
from apimachinery.api.validation.webhook_clients import client_config
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported, required
from controlplane.apiserver.extensions.definition import (
    ESTABLISHED,
    bundle_error,
    is_protected,
    is_true,
    storage_version,
)
from controlplane.apiserver.extensions.go_values import go_versions
from controlplane.apiserver.extensions.schema_validation import root_problems, schema_problems
from controlplane.apiserver.extensions.version_validation import columns, deprecation, selectable, subresources

Object = dict[str, Any]

_APPROVAL = "api-approved.kubernetes.io"
_REVIEWS = ("v1", "v1beta1")
_NOT_WEBHOOK = "should not be set when strategy is not set to Webhook"
# The parts of a version that may be the same in all, in the order in which they are judged, and their name at the top.
_SHARED: tuple[tuple[str, str, Callable[[Object, Path], Iterable[Problem]] | None], ...] = (
    ("schema", "validation", None),
    ("subresources", "subresources", subresources),
    ("additionalPrinterColumns", "additionalPrinterColumns", columns),
    ("selectableFields", "selectableFields", selectable),
)


def validate_create(obj: Object) -> list[Problem]:
    """A new definition."""
    spec = obj.get("spec") or {}
    problems = object_meta(obj, False, _name_check(spec))
    problems += _spec(spec, None)
    problems += _stored_versions(obj.get("status") or {}, spec)
    return problems + _approval(obj, None) + _pruning(spec, {})


def validate_update(new: Object, old: Object) -> list[Problem]:
    """A change of the specification."""
    spec, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    problems = object_meta_update(new, old) + _spec(spec, before, checks_bundle=_checks_bundle(old))
    if is_true(old, ESTABLISHED):
        problems += _immutable(spec.get("scope"), before.get("scope"), path.child("scope"))
        problems += _immutable(_names(spec).get("kind"), _names(before).get("kind"), path.child("names", "kind"))
    problems += _immutable(spec.get("group"), before.get("group"), path.child("group"))
    problems += _immutable(_names(spec).get("plural"), _names(before).get("plural"), path.child("names", "plural"))
    state = new.get("status") or {}
    problems += _name_words(state.get("acceptedNames") or {}, Path("status").child("acceptedNames"))
    problems += _stored_versions(state, spec)
    return problems + _approval(new, old) + _pruning(spec, before)


def validate_status(new: Object, old: Object) -> list[Problem]:
    """A write of the status."""
    accepted = (new.get("status") or {}).get("acceptedNames") or {}
    return object_meta_update(new, old) + _name_words(accepted, Path("status").child("acceptedNames"))


def _names(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return spec.get("names") or {}


def _immutable(new: Any, old: Any, path: Path) -> list[Problem]:
    return [invalid(path, new, "field is immutable")] if new != old else []


def _name_check(spec: Object) -> Any:
    def check(name: str) -> list[str]:
        found = names.dns1123_subdomain(name)
        if name != f"{_names(spec).get('plural') or ''}.{spec.get('group') or ''}":
            found = [*found, 'must be spec.names.plural+"."+spec.group']
        return found

    return check


def _stored_versions(state: Object, spec: Object) -> list[Problem]:
    path = Path("status").child("storedVersions")
    stored = state.get("storedVersions") or []
    if not stored:
        return [invalid(path, go_strings(None), "must have at least one stored version")]
    problems: list[Problem] = []
    if (wanted := storage_version(spec)) and wanted not in stored:
        problems.append(invalid(path, go_strings(stored), f"must have the storage version {wanted}"))
    known = {each.get("name") or "" for each in spec.get("versions") or ()}
    text = "must appear in spec.versions"
    return problems + [invalid(path.index(at), name, text) for at, name in enumerate(stored) if name not in known]


def _approval(obj: Object, old: Object | None) -> list[Problem]:
    group = (obj.get("spec") or {}).get("group") or ""
    if not is_protected(group):
        return []
    annotations = obj["metadata"].get("annotations") or {}
    said = annotations.get(_APPROVAL) or ""
    path = Path("metadata").child("annotations").key(_APPROVAL)
    had = (old["metadata"].get("annotations") or {}).get(_APPROVAL) or "" if old is not None else None
    if had is not None and _approved(had) == _approved(said):
        return []
    wanted = f'protected groups must have approval annotation "{_APPROVAL}"'
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    match _approved(said):
        case "missing":
            return [required(path, f"{wanted}, {see}")]
        case "invalid":
            return [invalid(path, said, f'{wanted} with either a URL or a reason starting with "unapproved", {see}')]
    return []


def _approved(said: str) -> str:
    """Where a definition of a protected group stands: missing, bypassed, approved or invalid."""
    if not said:
        return "missing"
    if said.startswith("unapproved"):
        return "bypassed"
    try:
        url = urlsplit(said)
    except ValueError:
        return "invalid"
    return "approved" if url.scheme and url.netloc else "invalid"


def _pruning(spec: Object, old: Object) -> list[Problem]:
    if not spec.get("preserveUnknownFields") or old.get("preserveUnknownFields"):
        return []
    text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
    return [invalid(Path("spec").child("preserveUnknownFields"), True, text)]


def _checks_bundle(old: Object) -> bool:
    """A caBundle may be made up until the definition is established (who converts is to fill it in), and stay so."""
    return is_true(old, ESTABLISHED) and not bundle_error(old.get("spec") or {})


def _spec(spec: Object, old: Object | None, *, checks_bundle: bool = False) -> list[Problem]:
    path = Path("spec")
    versions = spec.get("versions") or []
    where, seen, unique = path.child("versions"), set[str](), True
    shared = {key for key, _, _ in _SHARED if versions and all(_same(each, versions[0], key) for each in versions)}
    problems = list(_group_and_scope(spec, path))
    for at, version in enumerate(versions):
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            place = where.index(at).child("schema", "openAPIV3Schema")
            problems.append(required(place, "schemas are required"))
    for at, version in enumerate(versions):
        name = version.get("name") or ""
        unique = unique and name not in seen
        seen.add(name)
        if wrong := names.dns1035_label(name):
            problems.append(invalid(where.index(at).child("name"), name, ",".join(wrong)))
        problems += deprecation(version, where.index(at).child("deprecationWarning"))
        own = [(key, key, check) for key, _, check in _SHARED if key not in shared]
        problems += _parts(version, where.index(at), own, old, has_status=_has_status([version]))
    shown = go_versions(spec.get("versions"), shared)
    if not unique:
        problems.append(invalid(where, shown, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        problems.append(invalid(where, shown, "must have exactly one version marked as storage version"))
    if versions and (wrong := names.dns1035_label(versions[0].get("name") or "")) and versions[0].get("name"):
        problems.append(invalid(path.child("version"), versions[0]["name"], ",".join(wrong)))
    problems += _required_names(_names(spec), path.child("names"))
    problems += _name_words(_names(spec), path.child("names"))
    if versions:
        top = [(key, name, check) for key, name, check in _SHARED if key in shared]
        problems += _parts(versions[0], path, top, old, has_status=_has_status(versions))
    return problems + list(_conversion(spec, path.child("conversion"), checks_bundle=checks_bundle))


def _same(version: Object, first: Object, key: str) -> bool:
    return (version.get(key) or None) == (first.get(key) or None)


def _has_status(versions: list[Object]) -> bool:
    return any((version.get("subresources") or {}).get("status") is not None for version in versions)


def _parts(
    version: Object,
    path: Path,
    parts: list[tuple[str, str, Callable[[Object, Path], Iterable[Problem]] | None]],
    old: Object | None,
    *,
    has_status: bool,
) -> Iterator[Problem]:
    for _, name, check in parts:
        below = path.child(name)
        yield from check(version, below) if check is not None else _schema(version, below, old, has_status)


def _schema(version: Object, path: Path, old: Object | None, has_status: bool) -> list[Problem]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    before = [(each.get("schema") or {}).get("openAPIV3Schema") for each in (old or {}).get("versions") or ()]
    if schema is None or schema in before:
        return []  # what is stored already is not judged by rules that came after it
    where = path.child("openAPIV3Schema")
    return root_problems(schema, where, has_status=has_status) + schema_problems(schema, where)


def _group_and_scope(spec: Object, path: Path) -> Iterator[Problem]:
    group, scope = spec.get("group") or "", spec.get("scope") or ""
    if not group:
        yield required(path.child("group"))
    elif wrong := names.dns1123_subdomain(group):
        yield invalid(path.child("group"), group, ",".join(wrong))
    elif "." not in group:
        yield invalid(path.child("group"), group, "should be a domain with at least one dot")
    if not scope:
        yield required(path.child("scope"))
    elif scope not in ("Cluster", "Namespaced"):
        yield not_supported(path.child("scope"), scope, ["Cluster", "Namespaced"])


def _required_names(words: Mapping[str, Any], path: Path) -> list[Problem]:
    return [required(path.child(key)) for key in ("plural", "singular", "kind", "listKind") if not words.get(key)]


def _name_words(words: Mapping[str, Any], path: Path) -> list[Problem]:
    problems = []
    for key in ("plural", "singular"):
        if words.get(key) and (wrong := names.dns1035_label(words[key])):
            problems.append(invalid(path.child(key), words[key], ",".join(wrong)))
    for key in ("kind", "listKind"):
        if words.get(key) and (wrong := names.dns1035_label(words[key].lower())):
            sentence = "may have mixed case, but should otherwise match: " + ",".join(wrong)
            problems.append(invalid(path.child(key), words[key], sentence))
    problems += _word_list(words, "shortNames", path)
    if words.get("kind") and words.get("kind") == words.get("listKind"):
        problems.append(invalid(path.child("listKind"), words["kind"], "kind and listKind may not be the same"))
    return problems + _word_list(words, "categories", path)


def _word_list(words: Mapping[str, Any], key: str, path: Path) -> list[Problem]:
    return [
        invalid(path.child(key).index(at), word, ",".join(wrong))
        for at, word in enumerate(words.get(key) or ())
        if (wrong := names.dns1035_label(word))
    ]


def _conversion(spec: Object, path: Path, *, checks_bundle: bool) -> Iterator[Problem]:
    conversion = spec.get("conversion") or {}
    strategy, webhook, where = conversion.get("strategy") or "", conversion.get("webhook") or {}, path.child("strategy")
    if strategy != "None" and spec.get("preserveUnknownFields"):
        yield invalid(where, strategy, "must be None if spec.preserveUnknownFields is true")
    if not strategy:
        yield required(where)
    elif strategy not in ("None", "Webhook"):
        yield not_supported(where, strategy, ["None", "Webhook"])
    client, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    reviews = path.child("conversionReviewVersions")
    if strategy != "Webhook":
        if client is not None:
            yield forbidden(path.child("webhookClientConfig"), _NOT_WEBHOOK)
        if versions:
            yield forbidden(reviews, _NOT_WEBHOOK)
        return
    where = path.child("webhookClientConfig")
    if client is None:
        yield required(where, "required when strategy is set to Webhook")
    else:
        yield from client_config(client, where)
        if checks_bundle and (wrong := bundle_error(spec)):
            yield invalid(where.child("caBundle"), go_bytes(client["caBundle"]), wrong)
    if not versions:
        yield required(reviews)
        return
    for at, version in enumerate(versions):
        if version in versions[:at]:
            yield invalid(reviews.index(at), version, "duplicate version")
            continue
        yield from (invalid(reviews.index(at), version, text) for text in names.dns1035_label(version))
    if not set(_REVIEWS) & set(versions):
        yield invalid(reviews, go_strings(versions), f"must include at least one of {', '.join(_REVIEWS)}")
