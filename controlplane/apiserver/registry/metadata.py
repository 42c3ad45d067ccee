"""What the server itself writes into metadata (k8s.io/apiserver/pkg/registry/rest: BeforeCreate, BeforeUpdate)."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from apimachinery.api.catalogue import Resource
from apimachinery.kit import rand
from apimachinery.meta import status, times
from apimachinery.meta.paths import Path, Verbatim, invalid, required
from controlplane.apiserver.registry.call import Call

Object = dict[str, Any]

_SUFFIX = 5
_VARIANT = "89ab"
MAX_GENERATED = 63 - _SUFFIX

AFTER_ADMISSION = " after mutating admission happens"
_DOUBLE_OWNERS = (
    ".metadata.ownerReferences contains duplicate entries{}; API server dedups owner references in 1.20+, and may "
    "reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}"
)

_KEPT = ("uid", "creationTimestamp", "selfLink", "generation", "namespace", "name")
_KEPT_UNLESS_SAID = ("deletionTimestamp", "deletionGracePeriodSeconds", "managedFields")
_SYSTEM_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")


def generated_name(base: str) -> str:
    """A name for `generateName`: the base, cut to fit a label, and five random characters."""
    return base[:MAX_GENERATED] + rand.letters(_SUFFIX)


def new_uid() -> str:
    """A random UUID (RFC 4122 version 4), in a third of the time that the uuid module takes."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"


def place_in_namespace(call: Call, obj: Object) -> None:
    """Put the object into the request's namespace. Raises ApiError 400 when it says another."""
    meta = obj["metadata"]
    if call.resource.namespaced:
        if meta.get("namespace") and meta["namespace"] != call.namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        meta["namespace"] = call.namespace
    else:
        meta.pop("namespace", None)  # many a manifest says one for a kind that has none; nobody is told, as upstream


def place(call: Call, obj: Object) -> None:
    """Put the object where the request says it is. Raises ApiError 400 when the two disagree, or when the request names
    an object that does not name itself."""
    place_in_namespace(call, obj)
    name = obj["metadata"].get("name")
    if call.name and not name:
        why = "was undeterminable: name must be provided"
        raise status.bad_request(f"the name of the object ({call.name} based on URL) {why}")
    if call.name and name != call.name:
        raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({call.name})")


def clear_created(obj: Object) -> None:
    """Nothing that the server says comes from the client."""
    for field in (*_SYSTEM_FIELDS, "resourceVersion", "generation", "managedFields"):
        obj["metadata"].pop(field, None)


def fill_created(resource: Resource, obj: Object, now: datetime, unnamed: str = "") -> None:
    """uid, creationTimestamp; nothing of the sort from the client. unnamed: the name of an object that has none.

    Raises ApiError 422 without any name."""
    clear_created(obj)
    meta = obj["metadata"]
    if not meta.get("name"):
        base = meta.get("generateName")
        if not base and not unnamed:
            path = Path("metadata").child("name")
            raise status.invalid(resource, "", [required(path, "name or generateName is required")])
        meta["name"] = generated_name(base) if base else unnamed
    meta["uid"] = new_uid()
    meta["creationTimestamp"] = times.rfc3339(now)


def fill_updated(new: Object, old: Object) -> None:
    """What no update changes comes from the stored object; its end and managedFields where the client says none."""
    meta, before = new["metadata"], old["metadata"]
    # Validation refuses another end than the one that is there, and one of an object that nobody deleted.
    kept = [*_KEPT, "deletionTimestamp"] if before.get("deletionTimestamp") else [*_KEPT]
    kept += [field for field in _KEPT_UNLESS_SAID if meta.get(field) is None]
    for field in kept:
        if field in before:
            meta[field] = before[field]
        else:
            meta.pop(field, None)
    meta["resourceVersion"] = before["resourceVersion"]


def unite_owners(call: Call, obj: Object, when: str = "") -> None:
    """Keep one of owner references that are the same, and warn of the others, as upstream does on create and update and
    (`when`) after mutating admission."""
    references = obj["metadata"].get("ownerReferences") or []
    if len(references) < 2:
        return
    kept: list[Object] = []
    twice: list[str] = []
    for reference in references:
        if reference in kept:
            twice.append(reference.get("uid", ""))
        else:
            kept.append(reference)
    if twice:
        call.warn(_DOUBLE_OWNERS.format(when, ", ".join(twice)))
        obj["metadata"]["ownerReferences"] = kept


def set_managers(obj: Object, entries: list[Object]) -> None:
    """Set metadata.managedFields, which is absent rather than empty."""
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def check_uid(resource: Resource, key: str, asked: Object, current: Object | None) -> None:
    """Raises ApiError 409 for a PUT that means another object of that name than `current` (None: there is none, which
    is another one, too), in the words of upstream's store. key: that of the object."""
    wanted, have = asked["metadata"].get("uid"), current["metadata"].get("uid") or "" if current is not None else ""
    if wanted and wanted != have:
        why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {have}"
        sentence = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"
        raise status.conflict(resource, asked["metadata"]["name"], sentence)


def check_patched(resource: Resource, obj: Object, current: Object, *, unconditional: bool = True) -> None:
    """What a patch may not make of metadata: raises ApiError 409 for another version than the client has seen, 422 for
    another uid (a PUT that names one means another object; a patch would change it)."""
    uid, name = obj["metadata"].get("uid"), current["metadata"]["name"]
    if uid and uid != current["metadata"].get("uid"):
        raise status.invalid(resource, name, [invalid(Path("metadata").child("uid"), uid, "field is immutable")])
    check_version(resource, obj, current, unconditional=unconditional)


def check_version(resource: Resource, obj: Object, current: Object, *, unconditional: bool) -> None:
    """The optimistic lock: raises ApiError 409 when the client has seen another version, 422 for a malformed one."""
    meta = obj["metadata"]
    asked = meta.get("resourceVersion") or ""
    path = Path("metadata").child("resourceVersion")
    if not asked or asked == "0":
        if not unconditional:
            problem = invalid(path, Verbatim("0x0"), "must be specified for an update")
            raise status.invalid(resource, current["metadata"]["name"], [problem])
        return
    if not asked.isascii() or not asked.isdecimal() or len(asked) > 19:
        problem = invalid(path, asked, f'strconv.ParseUint: parsing "{asked}": invalid syntax')
        raise status.invalid(resource, current["metadata"]["name"], [problem])
    if asked != current["metadata"]["resourceVersion"]:
        raise status.conflict(resource, current["metadata"]["name"])
