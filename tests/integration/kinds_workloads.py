"""The kinds that make pods, and those that scale them."""

from __future__ import annotations

from tests.integration.kinds_parts import CONTAINER, DEFAULTED_TEMPLATE, JOB, OTHER, SELECTED, SELECTOR_MISMATCH, Kind

WORKLOADS = [
    Kind(
        "apps/v1",
        "ControllerRevision",
        {"data": {"a": 1}, "revision": 1},
        {"data": {"a": 1}, "revision": 1},
        {"data": {"a": 1}, "revision": -1},
        "revision: Invalid value: -1: must be greater than or equal to 0",
    ),
    Kind(
        "apps/v1",
        "DaemonSet",
        {"spec": SELECTED},
        {
            "spec": {
                "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
                "template": DEFAULTED_TEMPLATE,
            },
            "metadata": {"generation": 1, "annotations": {"deprecated.daemonset.template.generation": "1"}},
        },
        {"spec": {**SELECTED, "selector": OTHER}},
        f"spec.template.metadata.labels: {SELECTOR_MISMATCH}",
    ),
    Kind(
        "apps/v1",
        "Deployment",
        {"spec": {**SELECTED, "replicas": 0}},
        {
            "spec": {
                "progressDeadlineSeconds": 600,
                "revisionHistoryLimit": 10,
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
                },
                "template": DEFAULTED_TEMPLATE,
            },
            "metadata": {"generation": 1},
        },
        {"spec": {**SELECTED, "selector": OTHER}},
        f"spec.template.metadata.labels: {SELECTOR_MISMATCH}",
    ),
    Kind(
        "apps/v1",
        "ReplicaSet",
        {"spec": {**SELECTED, "replicas": 0}},
        {"spec": {"replicas": 0, "template": DEFAULTED_TEMPLATE}, "metadata": {"generation": 1}},
        {"spec": {**SELECTED, "replicas": -1}},
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
    ),
    Kind(
        "apps/v1",
        "StatefulSet",
        {"spec": {**SELECTED, "replicas": 0, "serviceName": "s"}},
        {
            "spec": {
                "podManagementPolicy": "OrderedReady",
                "revisionHistoryLimit": 10,
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            },
            "metadata": {"generation": 1},
        },
        {"spec": {**SELECTED, "podManagementPolicy": "Random"}},
        "spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
    ),
    Kind(
        "autoscaling/v1",
        "HorizontalPodAutoscaler",
        {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "none"}, "maxReplicas": 2}},
        {"spec": {"minReplicas": 1, "maxReplicas": 2, "targetCPUUtilizationPercentage": 80}},
        {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "none"}}},
        "[spec.maxReplicas: Invalid value: 0: must be greater than 0, spec.maxReplicas: Invalid value: 0: must be "
        "greater than or equal to `minReplicas`]",
    ),
    Kind(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "none"}, "maxReplicas": 2}},
        {
            "spec": {
                "minReplicas": 1,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
                    }
                ],
            }
        },
        {"spec": {"scaleTargetRef": {"kind": "", "name": "none"}, "maxReplicas": 1}},
        "spec.scaleTargetRef.kind: Required value",
    ),
    Kind(
        "batch/v1",
        "CronJob",
        {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": JOB}}},
        {
            "spec": {
                "concurrencyPolicy": "Allow",
                "suspend": False,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
            },
            "metadata": {"generation": 1},
        },
        {"spec": {"schedule": "now", "jobTemplate": {"spec": JOB}}},
        'spec.schedule: Invalid value: "now": expected exactly 5 fields, found 1: [now]',
    ),
    Kind(
        "batch/v1",
        "Job",
        {"spec": JOB},
        {
            "spec": {
                "backoffLimit": 6,
                "completionMode": "NonIndexed",
                "completions": 1,
                "parallelism": 1,
                "podReplacementPolicy": "TerminatingOrFailed",
                "suspend": True,
            },
            "metadata": {"generation": 1},
        },
        {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}},
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ),
]
