"""Server-side apply where fields are recorded in several versions of the kind (structured-merge-diff's merge.Updater).

Each manager's fields are compared with the object in the manager's version; what the applier gives up is taken away in
the version in which it applied last. Entries of versions that the kind no longer has are dropped.
"""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import Resource
from controlplane.apiserver.registry import field_sets
from controlplane.apiserver.registry.applying import Applier, plan_apply, settle, take_away, union
from controlplane.apiserver.registry.field_sets import Fields
from controlplane.apiserver.registry.kinds import apply_meta
from controlplane.apiserver.registry.merging import merge
from controlplane.apiserver.registry.versions import Changes, as_seen, changes_elsewhere, in_version, translated

Object = dict[str, Any]


async def plan_apply_across(
    live: Object, config: Object, resource: Resource, applier: Applier
) -> tuple[Object, list[Object]]:
    """As `plan_apply`, all in the version of `resource`. Raises ApiError 500 too, when a webhook does not convert."""
    schema, entries = apply_meta(resource), live["metadata"].get("managedFields") or []
    if all(entry.get("apiVersion") == applier.api_version for entry in entries):
        return plan_apply(live, config, schema, applier)
    known = [entry for entry in entries if in_version(resource, str(entry.get("apiVersion")))]
    own, others = [entry for entry in known if applier.owns(entry)], [each for each in known if not applier.owns(each)]
    wanted = field_sets.fields_of(config, schema)
    merged = await _pruned(merge(live, config, schema), wanted, own, others, resource)
    # What conversions may have lost of it on the way.
    merged = merge(merged, config, schema)
    changed, gone = field_sets.changes_between(live, merged, schema)
    elsewhere = await changes_elsewhere(others, live, merged, resource)

    def changes(entry: Object) -> Changes:
        return elsewhere.get(str(entry.get("apiVersion")), (changed | gone & wanted, gone))

    same = len(known) == len(entries) and all(entry.get("apiVersion") == applier.api_version for entry in own)
    before = union(own) if same else None
    return settle(live, merged, config, wanted, others, before, changes, applier, schema)


async def _pruned(
    merged: Object, wanted: Fields, own: list[Object], others: list[Object], resource: Resource
) -> Object:
    """`merged` without what the applier no longer sets and nobody else owns."""
    if not own:
        return merged
    last = _known(str(own[-1].get("apiVersion")), resource)
    before = union(entry for entry in own if entry.get("apiVersion") == last.api_version)
    if last.api_version == resource.api_version and before <= wanted:
        return merged
    held = {resource.api_version: wanted}
    for entry in others:
        api_version = str(entry.get("apiVersion"))
        held[api_version] = held.get(api_version, frozenset()) | union([entry])
    kept = held.pop(last.api_version, frozenset[tuple[str, ...]]())
    for api_version, fields in held.items():
        kept |= await translated(fields, merged, _known(api_version, resource), last)
    pruned = dict(await as_seen(merged, last))
    take_away(pruned, before - kept, kept, apply_meta(last))
    return await as_seen(pruned, resource)


def _known(api_version: str, resource: Resource) -> Resource:
    return in_version(resource, api_version) or resource
