"""Files of a volume that lie on or below each other (pkg/api/pod/warnings.go)."""

from collections.abc import Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]
Place = tuple[str, str]  # path and, in a projected volume, the source it is from


def overlapping_paths(volumes: list[Any]) -> Iterator[str]:
    """One sentence for each pair of files of a volume that hide one another."""
    for volume in volumes:
        name = volume.get("name", "")
        for field, what in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
            source = volume.get(field) or {}
            if source.get("items") is None:
                continue
            owner = source.get("secretName" if field == "secret" else "name", "")
            shown = what if field == "downwardAPI" else f'{what} "{owner}"'
            yield from _warn(name, shown, [(item.get("path", ""), "") for item in source["items"]])
        if volume.get("projected") is not None:
            yield from _projected(name, volume["projected"])


def _projected(name: str, projected: Object) -> Iterator[str]:
    places: list[Place] = []
    for source in projected.get("sources") or ():
        if not source:
            yield f'volume "{name}" (Projected) has no sources provided'
            continue
        for field, what in (("configMap", "ConfigMap"), ("secret", "Secret"), ("downwardAPI", "DownwardAPI")):
            found = source.get(field) or {}
            shown = what if field == "downwardAPI" else f'{what} "{found.get("name", "")}"'
            places += [(item.get("path", ""), shown) for item in found.get("items") or ()]
        if token := source.get("serviceAccountToken"):
            places.append((token.get("path", ""), "ServiceAccountToken"))
    yield from _warn(name, "Projected", places)


def _warn(name: str, shown: str, places: list[Place]) -> Iterator[str]:
    seen: list[Place] = []
    for path, source in places:
        place = (path.rstrip("/"), source)
        for other in seen:
            if place[0] and other[0] and _nested(place[0], other[0]):
                yield f'volume "{name}" ({shown}): overlapping paths: {_spell(place)} with {_spell(other)}'
        seen.append(place)


def _nested(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _spell(place: Place) -> str:
    return f'"{place[0]}" ({place[1]})' if place[1] else f'"{place[0]}"'
