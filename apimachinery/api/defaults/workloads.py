"""Defaults of apps, replication controllers and autoscalers (pkg/apis/{apps,core,autoscaling})."""

from apimachinery.api.defaults.fill import Object, items, part, when_absent, when_empty
from apimachinery.api.defaults.pods import template
from apimachinery.api.defaults.storage import persistent_volume_claim

_ROLLING = "RollingUpdate"


def deployment(obj: Object) -> None:
    """A Deployment: one replica, a rolling update by a quarter, ten old ReplicaSets, ten minutes to make progress."""
    spec = part(obj, "spec")
    template(spec)
    when_absent(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = part(spec, "strategy")
    when_empty(strategy, type=_ROLLING)
    if strategy["type"] == _ROLLING:
        when_absent(part(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")


def replica_set(obj: Object) -> None:
    """A ReplicaSet: one replica."""
    spec = part(obj, "spec")
    template(spec)
    when_absent(spec, replicas=1)


def replication_controller(obj: Object) -> None:
    """A ReplicationController: one replica; selector and labels are those of the template when not given."""
    spec = part(obj, "spec")
    if spec.get("template"):
        template(spec)
        labels = (spec["template"].get("metadata") or {}).get("labels")
        if labels:
            when_empty(spec, selector=dict(labels))
            when_empty(part(obj, "metadata"), labels=dict(labels))
    when_absent(spec, replicas=1)


def daemon_set(obj: Object) -> None:
    """A DaemonSet: a rolling update, one node at a time."""
    spec = part(obj, "spec")
    template(spec)
    when_absent(spec, revisionHistoryLimit=10)
    strategy = part(spec, "updateStrategy")
    when_empty(strategy, type=_ROLLING)
    if strategy["type"] == _ROLLING:
        when_absent(part(strategy, "rollingUpdate"), maxUnavailable=1, maxSurge=0)


def stateful_set(obj: Object) -> None:
    """A StatefulSet: ordered, rolling from the highest ordinal, claims retained."""
    spec = part(obj, "spec")
    template(spec)
    when_empty(spec, podManagementPolicy="OrderedReady")
    when_absent(spec, replicas=1, revisionHistoryLimit=10)
    when_empty(part(spec, "persistentVolumeClaimRetentionPolicy"), whenDeleted="Retain", whenScaled="Retain")
    strategy = part(spec, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = _ROLLING
        part(strategy, "rollingUpdate")
    if strategy["type"] == _ROLLING and strategy.get("rollingUpdate") is not None:
        when_absent(strategy["rollingUpdate"], partition=0)
    for claim in items(spec, "volumeClaimTemplates"):
        when_empty(claim, apiVersion="v1", kind="PersistentVolumeClaim")
        persistent_volume_claim(claim)


def pod_template(obj: Object) -> None:
    """A PodTemplate."""
    template(obj)


def autoscaler(obj: Object) -> None:
    """An autoscaling/v2 HorizontalPodAutoscaler: at least one replica, CPU at 80 %, and complete behaviour rules."""
    spec = part(obj, "spec")
    when_absent(spec, minReplicas=1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
        up = part(behavior, "scaleUp")
        pods = {"type": "Pods", "value": 4, "periodSeconds": 15}
        when_absent(up, selectPolicy="Max", policies=[pods, dict(percent)], stabilizationWindowSeconds=0)
        when_absent(part(behavior, "scaleDown"), selectPolicy="Max", policies=[percent])


def autoscaler_v1(obj: Object) -> None:
    """An autoscaling/v1 HorizontalPodAutoscaler."""
    when_absent(part(obj, "spec"), minReplicas=1)
