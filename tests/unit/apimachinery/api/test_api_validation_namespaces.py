"""Namespaces: what their status is refused for."""

from apimachinery.api.validation import (
    validate_status_update,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

NAMESPACE = resource("v1", "Namespace")


def test_a_namespaces_phase_says_whether_it_ends():
    old = made(NAMESPACE)
    ending = {**old, "status": {"phase": "Terminating"}}
    assert texts(validate_status_update(NAMESPACE, ending, old)) == [
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    ]
