"""PodNodeSelector: a namespace's pods run on some nodes alone, whatever they ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apimachinery.meta import names, status
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup

Object = dict[str, Any]

ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
DEFAULT = "clusterDefaultNodeSelector"
"""The key of what holds where a namespace says nothing."""


class PodNodeSelector(Plugin):
    """plugin/pkg/admission/podnodeselector. selectors: of the plug-in's configuration, each as `a=b,c=d`: under DEFAULT
    the one of namespaces without the annotation, under a namespace's name the only labels its pods may ask for."""

    name = "PodNodeSelector"
    about = frozenset({("", "pods")})

    def __init__(self, namespaces: Lookup, selectors: Mapping[str, str]) -> None:
        self._namespaces, self._selectors = namespaces, selectors

    async def mutate(self, review: Review) -> None:
        if not _concerned(review):
            return
        given = await self._given(review)
        assert review.new is not None
        spec = review.new["spec"]
        _refuse_conflict(review, given)
        asked = spec.get("nodeSelector") or {}
        if more := {key: value for key, value in given.items() if key not in asked}:
            spec["nodeSelector"] = {**asked, **more}
            review.tell(*(f"spec.nodeSelector[{key}]: {value}" for key, value in more.items()))
        self._refuse_others(review)

    async def validate(self, review: Review) -> None:
        if not _concerned(review):
            return
        _refuse_conflict(review, await self._given(review))
        self._refuse_others(review)

    async def _given(self, review: Review) -> dict[str, str]:
        await self._namespaces.ready(review)
        namespace = await self._namespaces.find("", review.namespace)
        if namespace is None:
            raise status.internal(f"namespace {review.namespace} does not exist")
        said = (namespace["metadata"].get("annotations") or {}).get(ANNOTATION)
        return _labels(self._selectors.get(DEFAULT, "") if said is None else said)

    def _refuse_others(self, review: Review) -> None:
        allowed = _labels(self._selectors.get(review.namespace, ""))
        if allowed and not _selector(review).items() <= allowed.items():
            raise _forbidden(review, "pod node label selector labels conflict with its namespace whitelist")


def _concerned(review: Review) -> bool:
    return review.operation == "CREATE" and review.is_for("", "pods")


def _selector(review: Review) -> dict[str, str]:
    assert review.new is not None
    return review.new["spec"].get("nodeSelector") or {}


def _refuse_conflict(review: Review, given: Mapping[str, str]) -> None:
    if any(given.get(key, value) != value for key, value in _selector(review).items()):
        raise _forbidden(review, "pod node label selector conflicts with its namespace node label selector")


def _forbidden(review: Review, detail: str) -> status.ApiError:
    # Not `review.forbidden`: upstream names the pod as it is, without a name where it has none yet.
    assert review.new is not None
    return status.forbidden(review.resource, review.new["metadata"].get("name") or "", detail)


def _labels(text: str) -> dict[str, str]:
    """`a=b,c=d` (labels.ConvertSelectorToLabelsMap). Raises ApiError 500, as upstream, with upstream's sentence."""
    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        words = part.split("=")
        if len(words) != 2:
            raise _failed(f"invalid selector: [{' '.join(words)}]")
        key, value = (word.strip() for word in words)
        if problems := names.qualified_name(key):
            raise _failed(f'<nil>: Invalid value: "{key}": {"; ".join(problems)}')
        if problems := names.label_value(value):
            raise _failed(f'[{key}]: Invalid value: "{value}": {"; ".join(problems)}')
        found[key] = value
    return found


def _failed(sentence: str) -> status.ApiError:
    return status.ApiError(500, "", sentence)
