# A table of sentences reads better whole.
"""What changes of definitions are refused for, and who may define kinds of protected groups."""

from base64 import b64encode
from typing import Any

import pytest

from apimachinery.kit.certs import Authority
from controlplane.apiserver.extensions.names import plan_status
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


def _converted(bundle: bytes, *, established: bool = True) -> dict[str, Any]:
    client = {"url": "https://example.com", "caBundle": b64encode(bundle).decode()}
    webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
    definition = defined(conversion={"strategy": "Webhook", "webhook": webhook})
    condition = {"type": "Established", "status": str(established)}
    return {**definition, "status": {**definition["status"], "conditions": [condition]}}


def test_a_made_up_authority_may_stand_until_the_kind_is_established() -> None:
    good = Authority.create("a").pair.cert_pem
    block = b"-----BEGIN %b-----\neA==\n-----END %b-----\n"
    bad = {
        b"\n": "unable to parse bytes as PEM block",
        block.replace(b"%b", b"CERTIFICATE"): "failed to parse certificate: x509: malformed certificate",
        block.replace(b"%b", b"PRIVATE KEY"): "no valid certificate authority data seen",
    }
    for bundle, why in bad.items():
        new = _converted(bundle)
        [problem] = validate_update(new, _converted(good))
        assert problem.path == "spec.conversion.webhookClientConfig.caBundle"
        assert problem.message.endswith(f": unable to load root certificates: {why}")
        assert validate_create(new) == validate_update(new, _converted(b"no")) == []
        assert validate_update(new, _converted(good, established=False)) == []
    [problem] = validate_update(_converted(b"\n"), _converted(b""))
    assert "Invalid value: []byte{0xa}: unable" in str(problem)
    assert validate_update(_converted(good + b"\n"), _converted(good)) == []


def test_a_kind_waits_for_the_authority_of_its_webhook() -> None:
    definition = _converted(b"\n", established=False)
    definition["status"] = plan_status(definition, [], "t1")
    names, established = definition["status"]["conditions"][::-1]
    assert (names["type"], names["status"]) == ("NamesAccepted", "True")
    assert (established["status"], established["reason"]) == ("False", "InvalidCABundle")
    assert established["message"] == "The conversion webhook CABundle is invalid"
    definition["spec"] = _converted(Authority.create("a").pair.cert_pem)["spec"]
    state = plan_status(definition, [], "t2")
    assert [each["status"] for each in state["conditions"]] == ["True", "True"]
