"""Every operation of /openapi/v3, asked with what its description forbids: a few requests each, drawn by a seed.

Fewer and shallower than schemathesis' (`openapi.py`), and none of the hundreds of operations is left out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from apimachinery.meta.objects import copied
from tests.hostile import documents
from tests.hostile.attacks import JSON, MEDIA, PATCHES, VALUES, Attack, request
from tests.integration.kinds import KINDS, Kind

METHODS = ("get", "post", "put", "patch", "delete")
_WELL_SAID = 0.8  # of the bodies, whose media type the operation takes
SPOILT = 3  # bodies with something wrong in them, an operation
_FEW_VALUES = [value for value in VALUES if len(value) < 400]
# Objects that others are made by, or that act by themselves.
_ACTING = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "APIService", "ResourceQuota", "Namespace")


def samples() -> list[Kind]:
    """An object of every kind that leaves the others alone."""
    return [kind for kind in KINDS if kind.kind not in _ACTING]


def counted(document: Mapping[str, Any]) -> int:
    """How many operations there are."""
    return sum(method in item for item in document["paths"].values() for method in METHODS)


def described(document: Mapping[str, Any], namespace: str, chance: random.Random) -> Iterator[Attack]:
    """Requests for each operation; nothing that is accepted may change anything, for all are dry runs."""
    held = {(kind.api_version, kind.kind): kind for kind in samples()}
    for path, item in sorted(document["paths"].items()):
        for method in METHODS:
            if method in item:
                yield from _asked(path, method, item, held, namespace, chance)


def _asked(
    path: str,
    method: str,
    item: Mapping[str, Any],
    held: Mapping[tuple[str, str], Kind],
    namespace: str,
    chance: random.Random,
) -> Iterator[Attack]:
    operation = item[method]
    about = operation.get("x-kubernetes-group-version-kind") or {}
    api_version = "/".join(filter(None, (about.get("group"), about.get("version"))))
    kind = held.get((api_version, about.get("kind", "")))
    name = kind.name if kind else "nothing"
    where = path.replace("{namespace}", namespace).replace("{name}", name).replace("{path}", "x")
    fixed = "" if method == "get" else "dryRun=All&"
    parameters = [
        each for each in (*item.get("parameters", ()), *operation.get("parameters", ())) if each.get("in") == "query"
    ]
    for parameter in parameters:
        if fixed and parameter["name"] == "dryRun":
            continue
        value = quote(chance.choice(_FEW_VALUES), safe="%=,()!")
        asked = f"{where}?{fixed}{parameter['name']}={value}"
        # A deletion's options are its body's, if it has one: then `dryRun` of the query does not count.
        yield Attack(f"{method} {asked}", request(method.upper(), asked, b"" if method == "delete" else b"{}"))
    asked = f"{where}?{fixed}fieldManager=f&fieldValidation={chance.choice(('Strict', 'Warn', 'Ignore'))}"
    taken = (operation.get("requestBody") or {}).get("content")
    if not taken:
        yield Attack(f"{method} {asked}", request(method.upper(), asked, b"{"))
        return
    for body in _bodies(kind, method, namespace, chance):
        media = [each for each in taken if each != "*/*"] or [JSON]
        said = chance.choice(media if chance.random() < _WELL_SAID else MEDIA[:7])
        yield Attack(f"{method} {asked} {said} {body[:500]!r}", request(method.upper(), asked, body, said))


def _bodies(kind: Kind | None, method: str, namespace: str, chance: random.Random) -> Iterator[bytes]:
    whole: dict[str, Any] = {"metadata": {"name": "hostile"}, "spec": {"a": [{}]}, "status": {}}
    if kind is not None:
        name = kind.name if method != "post" else "hostile"
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, **kind.body}
        whole["metadata"] = {**whole.get("metadata", {}), "name": name}
    whole = orjson.loads(orjson.dumps(whole).replace(b"{namespace}", namespace.encode()))
    dry = {"dryRun": ["All"]} if method == "delete" else {}
    yield orjson.dumps({**whole, **dry})
    for _ in range(SPOILT):
        spoilt = copied(whole)
        for _ in range(chance.randint(1, 2)):
            documents.spoil(spoilt, chance)
        yield orjson.dumps({**spoilt, **dry})
    yield orjson.dumps({**whole, chance.choice(sorted(whole)): chance.choice(documents.WRONG), **dry})
    yield chance.choice(PATCHES) if method == "patch" else b""
