"""Priority classes and runtime classes: what they are refused for."""

from apimachinery.api.validation import (
    validate_create,
    validate_update,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

PRIORITY = resource("scheduling.k8s.io/v1", "PriorityClass")
RUNTIME = resource("node.k8s.io/v1", "RuntimeClass")


def test_priority_classes():
    assert validate_create(PRIORITY, made(PRIORITY, value=1_000_000_000)) == []
    assert validate_create(PRIORITY, made(PRIORITY, "system-node-critical", value=2_000_001_000)) == []
    assert texts(validate_create(PRIORITY, made(PRIORITY, "system-mine", value=1))) == [
        "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
        "system-mine is not a known system priority class"
    ]
    assert texts(validate_create(PRIORITY, made(PRIORITY, value=1_000_000_001))) == [
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"
    ]
    changed = made(PRIORITY, value=2, preemptionPolicy="Never")
    assert texts(validate_update(PRIORITY, changed, made(PRIORITY, value=1))) == [
        "value: Forbidden: may not be changed in an update.",
        'preemptionPolicy: Invalid value: "Never": field is immutable',
    ]


def test_runtime_classes():
    assert validate_create(RUNTIME, made(RUNTIME, handler="runc", overhead={"podFixed": {"cpu": "1"}})) == []
    twice = [{"key": "k", "operator": "Exists"}] * 2
    assert texts(validate_create(RUNTIME, made(RUNTIME, handler="runc", scheduling={"tolerations": twice}))) == [
        'scheduling.tolerations[1]: Duplicate value: core.Toleration{Key:"k", Operator:"Exists", Value:"", Effect:"", '
        "TolerationSeconds:(*int64)(nil)}"
    ]
    assert texts(validate_update(RUNTIME, made(RUNTIME, handler="kata"), made(RUNTIME, handler="runc"))) == [
        'handler: Invalid value: "kata": field is immutable'
    ]
