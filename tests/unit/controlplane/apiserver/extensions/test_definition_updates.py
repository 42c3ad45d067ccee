# A table of sentences reads better whole.
"""What changes of definitions are refused for, and who may define kinds of protected groups."""

import pytest

from controlplane.apiserver.extensions.validation import validate_create, validate_status, validate_update
from tests.unit.controlplane.apiserver.extensions.definitions_for_validation import defined


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (None, "FieldValueRequired"),
        ("yes", "FieldValueInvalid"),
        ("https:///x", "FieldValueInvalid"),
        ("unapproved, for a test", None),
        ("https://github.com/kubernetes/kubernetes/pull/1", None),
    ],
)
def test_protected_groups(said: str | None, kind: str | None) -> None:
    definition = defined(group="x.k8s.io")
    definition["metadata"] = {"name": "things.x.k8s.io", "annotations": {"api-approved.kubernetes.io": said}}
    if said is None:
        del definition["metadata"]["annotations"]
    assert [problem.type for problem in validate_create(definition)] == ([kind] if kind else [])


def test_a_storage_version_may_leave_the_stored_ones_by_the_status_alone() -> None:
    old = defined()
    assert validate_status({**old, "status": {"storedVersions": []}}, old) == []
    new = {**old, "status": {"storedVersions": ["v0"]}}
    assert [str(problem) for problem in validate_update(new, old)] == [
        'status.storedVersions: Invalid value: []string{"v0"}: must have the storage version v1',
        'status.storedVersions[0]: Invalid value: "v0": must appear in spec.versions',
    ]


def test_fields_that_were_preserved_may_go_on_being_so() -> None:
    new, old = defined(preserveUnknownFields=True), defined()
    [problem] = validate_create(new)
    assert problem.path == "spec.preserveUnknownFields"
    assert validate_update(new, old) == [problem]
    assert validate_update(new, new) == []
