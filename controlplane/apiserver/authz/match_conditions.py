"""matchConditions of authorization webhooks: what a request must be for a webhook to be asked (k8s.io/apiserver
pkg/authorization/cel). `request` is the spec of the SubjectAccessReview, in v1.

Importing this loads CEL: only a configuration with conditions does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from apimachinery.kit.metrics import Counter, Histogram
from controlplane.apiserver.authz.attributes import Attributes
from controlplane.apiserver.authz.webhook import field_requirements, label_requirements
from controlplane.apiserver.cel import (
    BOOL,
    STRING,
    CelError,
    Program,
    Type,
    compile_expression,
    list_of,
    map_of,
    refusal,
)
from controlplane.apiserver.cel.types import Field, ObjectType

_PREFIX = "apiserver_authorization_match_condition_"
_ERRORS = Counter(f"{_PREFIX}evaluation_errors_total", "Requests whose conditions gave an error", ["type", "name"])
_EXCLUSIONS = Counter(f"{_PREFIX}exclusions_total", "Requests that no webhook was asked about", ["type", "name"])
_SECONDS = Histogram(
    f"{_PREFIX}evaluation_seconds",
    "Seconds that the conditions of a webhook took",
    ["type", "name"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25),
)


def _object(title: str, /, **kinds: Type) -> ObjectType:
    return ObjectType(f"kubernetes.{title}", fields={name: Field(name, kind) for name, kind in kinds.items()})


_WORDS = list_of(STRING)
_REQUIREMENTS = list_of(_object("SelectorRequirement", key=STRING, operator=STRING, values=_WORDS))
_REQUEST = _object(
    "SubjectAccessReviewSpec",
    resourceAttributes=_object(
        "ResourceAttributes",
        **dict.fromkeys(("namespace", "verb", "group", "version", "resource", "subresource", "name"), STRING),
        fieldSelector=_object("FieldSelectorAttributes", rawSelector=STRING, requirements=_REQUIREMENTS),
        labelSelector=_object("LabelSelectorAttributes", rawSelector=STRING, requirements=_REQUIREMENTS),
    ),
    nonResourceAttributes=_object("NonResourceAttributes", path=STRING, verb=STRING),
    user=STRING,
    groups=_WORDS,
    extra=map_of(STRING, _WORDS),
    uid=STRING,
)


class ConditionError(Exception):
    """A condition could not be evaluated, and none was false; the message is upstream's."""


def mistake(text: str) -> str:
    """What is wrong with an expression, or ""."""
    try:
        program = _compiled(text)
    except CelError as error:
        return refusal(error)
    return "" if program.type == BOOL else f"must evaluate to bool but got {program.type}"


class MatchConditions:
    """Conditions that were found right, of the webhook that has this name."""

    def __init__(self, texts: Sequence[str], name: str) -> None:
        self._programs = [_compiled(text) for text in texts]
        self._labels = ("Webhook", name)

    def match(self, attributes: Attributes) -> bool:
        """Whether all hold; a false one decides, whatever the others' errors are. Raises ConditionError."""
        begun, errors = time.perf_counter(), []
        bound = {"request": request(attributes)}
        try:
            for program in self._programs:
                try:
                    if program.evaluate(bound) is not True:
                        _EXCLUSIONS.labels(*self._labels).inc()
                        return False
                except CelError as error:
                    told = f"cel evaluation error: expression '{program.text}' resulted in error: {error}"
                    errors.append(told)
            if errors:
                raise ConditionError(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
            return True
        finally:
            _SECONDS.labels(*self._labels).observe(time.perf_counter() - begun)
            if errors:
                _ERRORS.labels(*self._labels).inc()


def request(attributes: Attributes) -> dict[str, Any]:
    """What an expression sees: every text, even an empty one; the attributes of a resource or of none; selectors where
    there are any."""
    user = attributes.user
    seen: dict[str, Any] = {
        "user": user.name,
        "groups": list(user.groups),
        "uid": user.uid,
        "extra": {key: list(values) for key, values in user.extra.items()},
    }
    if not attributes.is_resource:
        return {**seen, "nonResourceAttributes": {"path": attributes.path, "verb": attributes.verb}}
    about: dict[str, Any] = {**attributes.of_resource()}
    if found := field_requirements(attributes.field_selector):
        about["fieldSelector"] = {"requirements": found}
    if found := label_requirements(attributes.label_selector):
        about["labelSelector"] = {"requirements": [{"values": [], **each} for each in found]}
    return {**seen, "resourceAttributes": about}


def _compiled(text: str) -> Program:
    return compile_expression(text, {"request": _REQUEST})
