# ruff: noqa: E501
# A table of sentences reads better whole.
"""Questions about access: what they are refused for."""

import pytest

from apimachinery.api.validation import (
    validate_access_review,
)
from tests.unit.apimachinery.api.objects_for_validation import texts


@pytest.mark.parametrize(
    ("kind", "metadata", "spec", "expected"),
    [
        ("SubjectAccessReview", {}, {"user": "u", "resourceAttributes": {"verb": "get"}}, []),
        (
            "SubjectAccessReview",
            {},
            {"resourceAttributes": {"fieldSelector": {}}},
            [
                'spec.user: Invalid value: "": at least one of user or group must be specified',
                "spec.resourceAttributes.fieldSelector.requirements: Required value: when "
                "spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
            ],
        ),
        (
            "SelfSubjectAccessReview",
            {},
            {},
            [
                'spec.resourceAttributes: Invalid value: "null": exactly one of nonResourceAttributes or '
                "resourceAttributes must be specified"
            ],
        ),
        (
            "LocalSubjectAccessReview",
            {"namespace": "here"},
            {"user": "u", "resourceAttributes": {"namespace": "there"}, "nonResourceAttributes": {"path": "/x"}},
            [
                'spec.nonResourceAttributes: Invalid value: authorization.NonResourceAttributes{Path:"/x", Verb:""}: '
                "cannot be specified in combination with resourceAttributes",
                'spec.resourceAttributes.namespace: Invalid value: "there": must match metadata.namespace',
                'spec.nonResourceAttributes: Invalid value: authorization.NonResourceAttributes{Path:"/x", Verb:""}: '
                "disallowed on this kind of request",
            ],
        ),
    ],
    ids=str,
)
def test_access_reviews(kind, metadata, spec, expected):
    assert texts(validate_access_review(kind, {"metadata": metadata, "spec": spec}, "here")) == expected


def test_an_access_review_has_no_metadata():
    review = {"metadata": {"name": "x"}, "spec": {"resourceAttributes": {}}}
    (found,) = texts(validate_access_review("SelfSubjectAccessReview", review, ""))
    assert found.startswith('metadata: Invalid value: v1.ObjectMeta{Name:"x", GenerateName:""')
    assert found.endswith("ManagedFields:[]v1.ManagedFieldsEntry(nil)}: must be empty")


@pytest.mark.parametrize(
    ("field", "selector", "expected"),
    [
        ("fieldSelector", {"rawSelector": "a=b"}, []),
        ("fieldSelector", {"requirements": [{"key": "a", "operator": "Near"}]}, []),
        (
            "fieldSelector",
            {
                "rawSelector": "a=b",
                "requirements": [{"operator": "In"}, {"key": "a", "operator": "Exists", "values": ["b"]}],
            },
            [
                'rawSelector: Invalid value: "a=b": may not specified at the same time as requirements',
                "requirements[0].key: Required value: must be specified",
                "requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                "requirements[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            ],
        ),
        (
            "labelSelector",
            {
                "requirements": [
                    {"key": "a", "operator": "Exists", "values": ["b"]},
                    {"key": "a", "operator": "In", "values": [" "]},
                ]
            },
            [
                "requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                'requirements[1].values[0]: Invalid value: " ": a valid label must be an empty string or consist of '
                "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
                "'MyValue',  or 'my_value',  or '12345', regex used for validation is "
                "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ],
        ),
        (
            "labelSelector",
            {},
            [
                "requirements: Required value: when spec.resourceAttributes.labelSelector is specified, requirements or "
                "rawSelector is required"
            ],
        ),
    ],
    ids=str,
)
def test_selectors_of_access_reviews(field, selector, expected):
    review = {"spec": {"resourceAttributes": {field: selector}}}
    start = f"spec.resourceAttributes.{field}."
    assert texts(validate_access_review("SelfSubjectAccessReview", review, "")) == [start + text for text in expected]
