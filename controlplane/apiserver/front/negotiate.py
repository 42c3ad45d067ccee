"""Content negotiation: what the client can read, and in which shape (object, Table, PartialObjectMetadata)."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from apimachinery.meta import status

JSON = "application/json"
YAML = "application/yaml"
SERVED = (JSON, YAML)


class Accepted(Struct, frozen=True):
    """media: "application/json" or "application/yaml". kind: "", "Table", "PartialObjectMetadata" or
    "PartialObjectMetadataList", of meta.k8s.io/`version`. pretty is asked for in the query, not here."""

    media: str = JSON
    kind: str = ""
    version: str = "v1"


def _clauses(header: str) -> list[tuple[str, dict[str, str]]]:
    """Media types with their parameters, by quality, then order."""
    clauses: list[tuple[float, int, str, dict[str, str]]] = []
    for position, clause in enumerate(header.split(",")):
        media, *rest = (part.strip() for part in clause.split(";"))
        if not media:
            continue
        parameters = {key.strip(): value.strip() for key, _, value in (each.partition("=") for each in rest)}
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        clauses.append((-quality, position, media.lower(), parameters))
    return [clause[2:] for clause in sorted(clauses, key=lambda each: each[:2])]


@lru_cache(maxsize=256)
def accept(header: str, *, transforms: bool = True) -> Accepted:
    """The first clause, by quality then order, that can be served. Raises ApiError 406.

    transforms: whether Table and PartialObjectMetadata make sense here; clauses asking for them are passed over if not.
    """
    clauses = _clauses(header)
    if not clauses:
        return Accepted()
    for media, parameters in clauses:
        if media in ("*/*", "application/*", JSON):
            chosen = JSON
        elif media in (YAML, "application/x-yaml", "text/yaml"):
            chosen = YAML
        else:
            continue
        kind = parameters.get("as", "")
        if not kind:
            return Accepted(chosen)
        if (
            transforms
            and kind in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
            and parameters.get("g") == "meta.k8s.io"
            and parameters.get("v") in ("v1", "v1beta1")
        ):
            return Accepted(chosen, kind, parameters["v"])
    raise status.not_acceptable(SERVED)


@lru_cache(maxsize=64)
def aggregated_version(header: str) -> str:
    """The version of aggregated discovery (KEP-3352) that a client of /api or /apis prefers to the old documents: "v2",
    "v2beta1", or "" for those documents."""
    for media, parameters in _clauses(header):
        if media not in ("*/*", "application/*", JSON):
            continue
        kind, group, version = (parameters.get(key, "") for key in ("as", "g", "v"))
        if not kind:
            return ""
        if (kind, group) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io") and version in ("v2", "v2beta1"):
            return version
    return ""
