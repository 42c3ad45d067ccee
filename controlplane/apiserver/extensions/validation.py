"""What a CustomResourceDefinition is refused for, apart from its schemas
(k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation).

Upstream's internal form keeps what all versions share at the top: a definition whose versions have one schema is told
of `spec.validation.openAPIV3Schema`. So it is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.api.validation.metadata import object_meta, object_meta_update
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, Verbatim, forbidden, invalid, not_supported, required, too_many
from controlplane.apiserver.extensions.definition import ESTABLISHED, is_true, storage_version
from controlplane.apiserver.extensions.paths import BadPath, parse
from controlplane.apiserver.extensions.schema_validation import field_type, schema_problems

Object = dict[str, Any]

_APPROVAL = "api-approved.kubernetes.io"
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("binary", "bool", "byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MAX_SELECTABLE = 8


def validate_create(obj: Object) -> list[Problem]:
    """A new definition."""
    spec = obj.get("spec") or {}
    problems = object_meta(obj, False, _name_check(spec))
    problems += _spec(spec, None)
    return problems + _approval(obj, None)


def validate_update(new: Object, old: Object) -> list[Problem]:
    """A change of the specification."""
    spec, before, path = new.get("spec") or {}, old.get("spec") or {}, Path("spec")
    problems = object_meta_update(new, old) + _spec(spec, before)
    if is_true(old, ESTABLISHED):
        problems += _immutable(spec.get("scope"), before.get("scope"), path.child("scope"))
        problems += _immutable(_names(spec).get("kind"), _names(before).get("kind"), path.child("names", "kind"))
    problems += _immutable(spec.get("group"), before.get("group"), path.child("group"))
    problems += _immutable(_names(spec).get("plural"), _names(before).get("plural"), path.child("names", "plural"))
    problems += _stored_versions(new.get("status") or {}, spec)
    return problems + _approval(new, old)


def validate_status(new: Object, old: Object) -> list[Problem]:
    """A write of the status."""
    problems = object_meta_update(new, old)
    state = new.get("status") or {}
    problems += _name_words(state.get("acceptedNames") or {}, Path("status").child("acceptedNames"))
    return problems + _stored_versions(state, new.get("spec") or {})


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
        return [
            invalid(
                path,
                Verbatim("[]string{}" if "storedVersions" in state else "[]string(nil)"),
                "must have at least one stored version",
            )
        ]
    known = {each.get("name") for each in spec.get("versions") or ()}
    problems = [invalid(path.index(at), name, _missing(name)) for at, name in enumerate(stored) if name not in known]
    if (wanted := storage_version(spec)) and wanted not in stored:
        problems.append(invalid(path, Verbatim(_go_list(stored)), f"must have the storage version {wanted}"))
    return problems


def _missing(name: str) -> str:
    return (
        f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until "
        f"a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
    )


def _go_list(words: list[str]) -> str:
    return "[]string{" + ", ".join(f'"{word}"' for word in words) + "}"


def _approval(obj: Object, old: Object | None) -> list[Problem]:
    group = (obj.get("spec") or {}).get("group") or ""
    if not group.endswith((".k8s.io", ".kubernetes.io")) and group not in ("k8s.io", "kubernetes.io"):
        return []
    said = (obj["metadata"].get("annotations") or {}).get(_APPROVAL)
    path = Path("metadata").child("annotations").key(_APPROVAL)
    if old is not None and (old["metadata"].get("annotations") or {}).get(_APPROVAL) == said:
        return []
    if not said:
        see = "see https://github.com/kubernetes/enhancements/pull/1111"
        return [required(path, f'protected groups must have approval annotation "{_APPROVAL}", {see}')]
    if said.startswith(("unapproved", "http://", "https://")):
        return []
    return [
        invalid(
            path,
            said,
            f'protected groups must have approval annotation "{_APPROVAL}" with either a URL or a reason starting with '
            '"unapproved", see https://github.com/kubernetes/enhancements/pull/1111',
        )
    ]


def _spec(spec: Object, old: Object | None) -> list[Problem]:
    path = Path("spec")
    problems = list(_group_and_scope(spec, path))
    if spec.get("preserveUnknownFields") and not (old or {}).get("preserveUnknownFields"):
        problems.append(
            invalid(
                path.child("preserveUnknownFields"),
                True,
                "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                "spec.versions[*].schema instead",
            )
        )
    versions = spec.get("versions") or []
    where, seen, unique = path.child("versions"), set(), True
    for at, version in enumerate(versions):
        name = version.get("name") or ""
        unique = unique and name not in seen
        seen.add(name)
        if wrong := names.dns1035_label(name):
            problems.append(invalid(where.index(at).child("name"), name, ",".join(wrong)))
    shown = Verbatim(_go_versions(versions))
    if not unique:
        problems.append(invalid(where, shown, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        problems.append(invalid(where, shown, "must have exactly one version marked as storage version"))
    problems += _required_names(_names(spec), path.child("names"))
    problems += _name_words(_names(spec), path.child("names"))
    problems += _conversion(spec.get("conversion") or {}, path.child("conversion"))
    for version, below in _by_version(spec, path, "schema"):
        problems += _schema(spec, version, below, old)
    for key, check in (
        ("subresources", _subresources),
        ("additionalPrinterColumns", _columns),
        ("selectableFields", _selectable),
    ):
        for version, below in _by_version(spec, path, key):
            problems += check(version, below)
    for at, version in enumerate(versions):
        if version.get("deprecationWarning") is not None:
            problems += _deprecation(version, where.index(at).child("deprecationWarning"))
    return problems


def _by_version(spec: Object, path: Path, key: str) -> Iterator[tuple[Object, Path]]:
    """Each version with the place that its `key` is told at; once, at the top, when all versions have the same."""
    versions = spec.get("versions") or []
    if versions and all(version.get(key) == versions[0].get(key) for version in versions):
        if versions[0].get(key) is not None or key == "schema":
            yield versions[0], path.child("validation" if key == "schema" else key)
        return
    for at, version in enumerate(versions):
        yield version, path.child("versions").index(at).child(key)


def _schema(spec: Object, version: Object, path: Path, old: Object | None) -> list[Problem]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        versions = spec.get("versions") or []
        places = range(len(versions)) if str(path) == "spec.validation" else [versions.index(version)]
        return [
            required(
                Path("spec").child("versions").index(at).child("schema", "openAPIV3Schema"), "schemas are required"
            )
            for at in places
        ]
    before = [(each.get("schema") or {}).get("openAPIV3Schema") for each in (old or {}).get("versions") or ()]
    if schema in before:
        return []  # what is stored already is not judged by rules that came after it
    return schema_problems(schema, path.child("openAPIV3Schema"))


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
    for key in ("shortNames", "categories"):
        for at, word in enumerate(words.get(key) or ()):
            if wrong := names.dns1035_label(word):
                problems.append(invalid(path.child(key).index(at), word, ",".join(wrong)))
    if words.get("kind") and words.get("kind") == words.get("listKind"):
        problems.append(invalid(path.child("listKind"), words["kind"], "kind and listKind may not be the same"))
    return problems


def _conversion(conversion: Object, path: Path) -> Iterator[Problem]:
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook")
    if strategy not in ("None", "Webhook"):
        yield (
            not_supported(path.child("strategy"), strategy, ["None", "Webhook"])
            if strategy
            else required(path.child("strategy"))
        )
        return
    if strategy == "None":
        if webhook is not None:
            yield forbidden(path.child("webhook"), 'should not be set when strategy is not set to "Webhook"')
        return
    config = (webhook or {}).get("clientConfig")
    where = path.child("webhookClientConfig")
    if config is None:
        yield required(where, "required when strategy is set to Webhook")
    elif bool(config.get("url")) == (config.get("service") is not None):
        yield required(where, "exactly one of url or service is required")
    elif config.get("url") and not str(config["url"]).startswith("https://"):
        yield invalid(where.child("url"), config["url"], f"'https' is the only allowed URL scheme; {_URL_FORM}")
    versions = (webhook or {}).get("conversionReviewVersions") or []
    where = path.child("conversionReviewVersions")
    if not versions:
        yield required(where)
        return
    for at, version in enumerate(versions):
        if version in versions[:at]:
            yield invalid(where.index(at), version, "duplicate version")
        if wrong := names.dns1035_label(version):
            yield invalid(where.index(at), version, ",".join(wrong))
    if not {"v1", "v1beta1"} & set(versions):
        yield invalid(where, Verbatim(_go_list(versions)), "must include at least one of v1, v1beta1")


_URL_FORM = "desired format: https://host[/path]"


def _subresources(version: Object, path: Path) -> Iterator[Problem]:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    for key, under in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status."), ("labelSelectorPath", ".")):
        text = scale.get(key) or ""
        where = path.child(f"scale.{key}")
        if not text:
            if key != "labelSelectorPath":
                yield required(where)
        elif not text.startswith("."):
            yield invalid(where, text, "must be a simple json path starting with .")
        elif "[" in text:
            yield invalid(where, text, "must be a simple json path in dot notation without array notation")
        elif key == "labelSelectorPath" and not text.startswith((".spec.", ".status.")):
            yield invalid(where, text, "should be a json path under either .spec or .status")
        elif not text.startswith(under):
            yield invalid(where, text, f"should be a json path under {under[:-1]}")


def _columns(version: Object, path: Path) -> Iterator[Problem]:
    for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
        where = path.index(at)
        if not column.get("name"):
            yield required(where.child("name"))
        kind, form = column.get("type") or "", column.get("format") or ""
        if not kind:
            yield required(where.child("type"), "must be one of " + ",".join(_COLUMN_TYPES))
        elif kind not in _COLUMN_TYPES:
            yield invalid(where.child("type"), kind, "must be one of " + ",".join(_COLUMN_TYPES))
        if form and form not in _COLUMN_FORMATS:
            yield invalid(where.child("format"), form, "must be one of " + ",".join(_COLUMN_FORMATS))
        text = column.get("jsonPath") or ""
        if not text:
            yield required(where.child("jsonPath"))
            continue
        try:
            parse(text)
        except BadPath as e:
            yield invalid(where.child("jsonPath"), text, str(e))


def _selectable(version: Object, path: Path) -> Iterator[Problem]:
    fields = version.get("selectableFields") or []
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    seen: set[str] = set()
    if len(fields) > _MAX_SELECTABLE:
        yield too_many(path, len(fields), _MAX_SELECTABLE)
    for at, each in enumerate(fields):
        where, text = path.index(at).child("jsonPath"), each.get("jsonPath") or ""
        if not text:
            yield required(where)
            continue
        try:
            kind = field_type(schema, parse(text))
        except BadPath:
            kind = None
        if not text.startswith(".") or kind is None:
            yield invalid(where, text, "is an invalid path: does not refer to a valid field")
        elif text.split(".")[1] == "metadata":
            yield invalid(where, text, "must not point to fields in metadata")
        elif kind not in ("string", "boolean", "integer"):
            yield invalid(
                where,
                text,
                f"must point to a field of type string, boolean, or integer. The type of this field is {kind}",
            )
        if text in seen:
            yield invalid(where, text, "duplicates are not allowed")
        seen.add(text)


def _deprecation(version: Object, path: Path) -> Iterator[Problem]:
    said = version["deprecationWarning"]
    if not version.get("deprecated"):
        yield invalid(path, said, "can only be set for deprecated versions")
    if len(said) > 256:
        yield invalid(path, said, "must be <= 256 characters long")
    if not said:
        yield invalid(path, said, "must not be empty, or must be unset")
    elif any(not char.isprintable() for char in said):
        yield invalid(path, said, "must only contain printable UTF-8 characters; non-printable character found")


def _go_versions(versions: list[Object]) -> str:
    shown = []
    for each in versions:
        served, storage = ("true" if each.get(key) else "false" for key in ("served", "storage"))
        name = f'Name:"{each.get("name", "")}"'
        inner = f"{name}, Served:{served}, Storage:{storage}"
        shown.append(f"apiextensions.CustomResourceDefinitionVersion{{{inner}}}")
    return f"[]apiextensions.CustomResourceDefinitionVersion{{{', '.join(shown)}}}"
