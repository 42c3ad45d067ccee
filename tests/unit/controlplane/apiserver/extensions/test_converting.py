"""What answers of conversion webhooks are refused for."""

# ruff: noqa: E501 (a table of messages is read by the line)

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.extensions.converting import answer_problem

Object = dict[str, Any]

THING: Object = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a", "uid": "1", "labels": {"x": "y"}}}  # fmt: skip
MADE: Object = {**THING, "apiVersion": "example.com/v2"}


def _problem(made: Object | None = None, version: str = "v1", response: Object | None = None, **changes: Any) -> str:
    review = {
        "apiVersion": f"apiextensions.k8s.io/{version}",
        "kind": "ConversionReview",
        "request": {"uid": "7"},
    }
    whole = {"uid": "7", "result": {"status": "Success"}, "convertedObjects": [MADE if made is None else made]}
    answer = {
        "apiVersion": review["apiVersion"],
        "kind": "ConversionReview",
        "response": {**whole, **(response or {})},
        **changes,
    }
    return answer_problem(answer, review, [THING], "example.com/v2")


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (_problem(), ""),
        (_problem(kind="X"), "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1, Kind=X"),
        (_problem(kind="X", version="v1beta1", response={"uid": "8"}), ""),
        (_problem(response={"uid": "8"}), 'failed: expected response.uid="7", got "8"'),
        (_problem(response={"result": {}}), "failed: response.result.status was '', not 'Success'"),
        (_problem(response={"result": {"status": "Failure", "message": "no"}}), "failed: no"),
        (_problem(response={"convertedObjects": []}), "returned 0 objects, expected 1"),
        (_problem(THING), "returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v1)"),
        (_problem({**MADE, "kind": "X"}), "returned invalid object at index 0: invalid kind (expected Thing, received X)"),
        (_problem({**MADE, "metadata": {"name": "a"}}), "returned invalid object: must have the same UID: 1 != "),
        (_problem({**MADE, "metadata": {**MADE["metadata"], "labels": "x"}}), "returned invalid metadata: invalid metadata.labels of type string in converted object"),
        (_problem({**MADE, "metadata": {**MADE["metadata"], "labels": {"x": 1}}}), "returned invalid metadata: metadata.labels[x] must be a string, but is int64 in converted object"),
    ],
)  # fmt: skip
def test_answers(problem: str, sentence: str) -> None:
    assert problem == sentence


def test_labels_that_no_object_may_have() -> None:
    found = _problem({**MADE, "metadata": {**MADE["metadata"], "labels": {"x": "a b"}}})
    assert found.startswith('returned invalid metadata: metadata.labels: Invalid value: "a b": ')
