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
