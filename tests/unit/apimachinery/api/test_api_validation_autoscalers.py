"""Autoscalers and disruption budgets: what they are refused for."""

import pytest

from apimachinery.api.validation import (
    validate_create,
    validate_status_update,
)
from tests.unit.apimachinery.api.objects_for_validation import made, resource, texts

HPA = resource("autoscaling/v2", "HorizontalPodAutoscaler")
PDB = resource("policy/v1", "PodDisruptionBudget")
_SCALED = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (_SCALED, []),
        (
            {**_SCALED, "minReplicas": 0},
            [
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to "
                "zero replicas",
            ],
        ),
        (
            {**_SCALED, "minReplicas": 5},
            ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
        ),
        (
            {"scaleTargetRef": {}, "maxReplicas": 1},
            ["spec.scaleTargetRef.kind: Required value", "spec.scaleTargetRef.name: Required value"],
        ),
        (
            {**_SCALED, "metrics": [{"type": "Pods"}]},
            ["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
        ),
        (
            {**_SCALED, "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Value"}}}]},
            [
                "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw "
                "value or a target utilization"
            ],
        ),
        (
            {
                **_SCALED,
                "behavior": {"scaleDown": {"policies": [{"type": "Nodes", "value": 0, "periodSeconds": 2000}]}},
            },
            [
                'spec.behavior.scaleDown.policies[0].type: Unsupported value: "Nodes": supported values: "Percent", '
                '"Pods"',
                "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
                "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 2000: must be less than or equal "
                "to 1800",
            ],
        ),
    ],
    ids=str,
)
def test_autoscalers(spec, expected):
    assert texts(validate_create(HPA, made(HPA, spec=spec))) == expected


def test_disruption_budgets():
    good = made(PDB, spec={"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}})
    assert validate_create(PDB, good) == []
    both = made(PDB, spec={"minAvailable": 1, "maxUnavailable": 1})
    assert texts(validate_create(PDB, both)) == [
        "spec: Invalid value: policy.PodDisruptionBudgetSpec{MinAvailable:(*intstr.IntOrString)(0xc000000000), "
        "Selector:(*v1.LabelSelector)(nil), MaxUnavailable:(*intstr.IntOrString)(0xc000000000), "
        "UnhealthyPodEvictionPolicy:(*policy.UnhealthyPodEvictionPolicyType)(nil)}: minAvailable and maxUnavailable "
        "cannot be both set"
    ]
    bad = made(PDB, spec={"maxUnavailable": "120%", "unhealthyPodEvictionPolicy": "Never"})
    assert texts(validate_create(PDB, bad)) == [
        'spec.maxUnavailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:"120%"}: must not be greater '
        "than 100%",
        'spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", '
        '"IfHealthyBudget"',
    ]
    counted = {**good, "status": {"expectedPods": -1, "conditions": [{"type": "a", "status": "Maybe"}]}}
    assert texts(validate_status_update(PDB, counted, good)) == [
        'status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
        "status.conditions[0].lastTransitionTime: Required value: must be set",
        "status.conditions[0].reason: Required value: must be set",
        "status.expectedPods: Invalid value: -1: must be greater than or equal to 0",
    ]


def test_names_of_disruption_budgets():
    assert validate_create(PDB, made(PDB, "Web_1", spec={})) == []
    assert texts(validate_create(PDB, made(PDB, "a/b", spec={}))) == [
        "metadata.name: Invalid value: \"a/b\": may not contain '/'"
    ]
