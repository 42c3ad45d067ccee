"""Content negotiation: what the client can read, and in which shape (object, Table, PartialObjectMetadata)."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from apimachinery.meta import status

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
OPENAPI_V2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""How clients ask for /openapi/v2 in protobuf."""
OPENAPI_V2_SAID = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What they are told it is: a media type holds no "@"."""
SERVED = (JSON, YAML, PROTOBUF)
STREAMED = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
"""What watches are served as besides."""
_TRANSFORMING = frozenset(("as", "g", "v"))
_METADATA = ("PartialObjectMetadata", "PartialObjectMetadataList")


class Accepted(Struct, frozen=True):
    """media: one of SERVED. kind: "", "Table", "PartialObjectMetadata" or "PartialObjectMetadataList", of
    meta.k8s.io/`version`. pretty: whether the header asks for an indented answer, which the query may do too."""

    media: str = JSON
    kind: str = ""
    version: str = "v1"
    pretty: bool = False


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
        clauses.append((-quality, position, media, parameters))
    return [clause[2:] for clause in sorted(clauses, key=lambda each: each[:2])]


@lru_cache(maxsize=256)
def accept(header: str, *, transforms: bool = True, protobuf: bool = True) -> Accepted:
    """The first clause, by quality then order, that can be served. Raises ApiError 406.

    transforms: whether Table and PartialObjectMetadata make sense here; clauses asking for them are passed over if not.
    protobuf: whether the kind itself has that form; metadata alone always has it, a Table never.
    """
    clauses = _clauses(header)
    if not clauses:
        return Accepted()
    for media, parameters in clauses:
        if media in ("*/*", "application/*", JSON):
            chosen = JSON
        elif media in (YAML, PROTOBUF):
            chosen = media
        else:
            continue
        if parameters.get("stream", "watch") != "watch":
            continue
        kind, pretty = parameters.get("as", ""), parameters.get("pretty") == "1"
        if _TRANSFORMING.isdisjoint(parameters):
            if protobuf or chosen != PROTOBUF:
                return Accepted(chosen, pretty=pretty)
        elif (
            transforms
            and (kind in _METADATA or (kind == "Table" and chosen != PROTOBUF))
            and parameters.get("g") == "meta.k8s.io"
            and parameters.get("v") in ("v1", "v1beta1")
        ):
            return Accepted(chosen, kind, parameters["v"], pretty)
    raise status.not_acceptable(SERVED)


@lru_cache(maxsize=256)
def preferred(header: str) -> Accepted | None:
    """The form of an answer that has no other shape; None when the client takes none of what is served."""
    try:
        return accept(header, transforms=False)
    except status.ApiError:
        return None


@lru_cache(maxsize=64)
def asks_for_pretty(header: str) -> bool:
    """Whether the clause that is served wants its answer indented (`application/json;pretty=1`)."""
    try:
        return accept(header).pretty
    except status.ApiError:
        return False


def listed(header: str) -> frozenset[str]:
    """The media types that a header names, without their parameters."""
    return frozenset(clause.partition(";")[0].strip(" ") for clause in header.split(","))


@lru_cache(maxsize=256)
def look_at_route(header: str, produced: tuple[str, ...] = SERVED, *, streamed: bool = False) -> None:
    """What the router of a kube-apiserver asks of an Accept header before anything else: that one of its media types,
    whatever its parameters, is spelled as one of `produced`. streamed: the forms of watches are named, too.

    Raises ApiError 406."""
    media = listed(header or "*/*")
    if media.isdisjoint(produced) and "*/*" not in media:
        raise status.not_routed(406, produced + STREAMED if streamed else produced)


def reads_openapi(header: str) -> bool:
    """Whether the client takes one of the forms of /openapi/v2."""
    return not listed(header or JSON).isdisjoint((JSON, "application/*", "*/*", OPENAPI_V2, OPENAPI_V2_SAID))


@lru_cache(maxsize=64)
def aggregated(header: str) -> Accepted | None:
    """The form of aggregated discovery (KEP-3352) that a client of /api or /apis prefers to the old documents: of
    version v2 or v2beta1, or None for those documents."""
    for media, parameters in _clauses(header):
        chosen = JSON if media in ("*/*", "application/*") else media
        if chosen not in SERVED:
            continue
        kind, group, version = (parameters.get(key, "") for key in ("as", "g", "v"))
        if not kind:
            return None
        if (kind, group) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io") and version in ("v2", "v2beta1"):
            return Accepted(chosen, kind, version)
    return None
