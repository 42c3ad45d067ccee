"""APIServices: what they are refused for."""

import pytest

from apimachinery.api.validation import validate_create, validate_status_update
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

APISERVICE = resource("apiregistration.k8s.io/v1", "APIService")


def test_api_services():
    spec = {"group": "g.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    assert validate_create(APISERVICE, made(APISERVICE, "v1.g.io", spec=spec)) == []
    assert texts(validate_create(APISERVICE, made(APISERVICE, "other", spec={**spec, "versionPriority": 1001}))) == [
        'metadata.name: Invalid value: "other": must be `spec.version+"."+spec.group`: "v1.g.io"',
        "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
    ]


_SPEC = {"group": "g.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"group": "", "version": "v2"},
            ["spec.group: Required value: only v1 may have an empty group and it better be legacy kube"],
        ),
        (
            {"groupPriorityMinimum": 20001, "versionPriority": 0},
            [
                "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
                "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
            ],
        ),
        (
            {"caBundle": "YWI=", "insecureSkipTLSVerify": True},
            [
                'spec.caBundle: Invalid value: "2 bytes": local APIServices may not have a caBundle',
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ],
        ),
        (
            {"service": {"port": 0}, "caBundle": "YWI=", "insecureSkipTLSVerify": True},
            [
                "spec.service.namespace: Required value",
                "spec.service.name: Required value",
                "spec.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
                "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
            ],
        ),
        ({"service": {"namespace": "n", "name": "s"}}, []),
    ],
    ids=str,
)
def test_the_details_of_api_services(fields, expected):
    spec = {**_SPEC, **fields}
    service = made(APISERVICE, f"{spec['version']}.{spec['group']}", spec=spec)
    assert texts(validate_create(APISERVICE, service)) == expected


def test_the_status_of_an_api_service():
    old = made(APISERVICE, "v1.g.io", spec=_SPEC)
    new = {**old, "status": {"conditions": [{"type": "Available", "status": "Maybe"}]}}
    assert texts(validate_status_update(APISERVICE, new, old)) == [
        'status.conditions[0].status: Unsupported value: "Maybe": supported values: "True", "False", "Unknown"'
    ]
