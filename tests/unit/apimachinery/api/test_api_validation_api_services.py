"""APIServices: what they are refused for."""

from apimachinery.api.validation import (
    validate_create,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

APISERVICE = resource("apiregistration.k8s.io/v1", "APIService")


def test_api_services():
    spec = {"group": "g.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    assert validate_create(APISERVICE, made(APISERVICE, "v1.g.io", spec=spec)) == []
    assert texts(validate_create(APISERVICE, made(APISERVICE, "other", spec={**spec, "versionPriority": 1001}))) == [
        'metadata.name: Invalid value: "other": must be `spec.version+"."+spec.group`: "v1.g.io"',
        "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
    ]
