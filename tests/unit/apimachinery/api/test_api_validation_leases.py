"""Leases: what they are refused for."""

import pytest

from apimachinery.api.catalogue import LEASES
from apimachinery.api.validation import validate_create, validate_update
from tests.unit.apimachinery.api.objects_for_validation import made, texts


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"leaseDurationSeconds": 1, "leaseTransitions": 0}, []),
        (
            {"leaseDurationSeconds": 0, "leaseTransitions": -1},
            [
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            {"preferredHolder": "me"},
            ["spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"],
        ),
        (
            {"strategy": "Youngest"},
            ['spec.strategy.strategy: Unsupported value: "Youngest": supported values: "OldestEmulationVersion"'],
        ),
        ({"strategy": "OldestEmulationVersion", "preferredHolder": "me"}, []),
        ({"strategy": "example.com/own"}, []),
    ],
    ids=str,
)
def test_leases(spec, expected):
    assert texts(validate_create(LEASES, made(LEASES, spec=spec))) == expected
    assert texts(validate_update(LEASES, made(LEASES, spec=spec), made(LEASES, spec={}))) == expected


def test_a_strategy_with_a_domain_is_a_qualified_name():
    first = texts(validate_create(LEASES, made(LEASES, spec={"strategy": "example.com/"})))[0]
    assert first == 'spec.strategy.strategy: Invalid value: "example.com/": name part must be non-empty'
