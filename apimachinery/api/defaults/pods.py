"""Defaults of pods and pod templates (pkg/apis/core/v1/defaults.go)."""

from apimachinery.api.defaults.fill import Object, agree, items, part, round_up, when_absent, when_empty
from apimachinery.api.defaults.storage import claim_spec, source
from apimachinery.api.quota.amounts import pod_amounts
from apimachinery.meta.pod_resources import POD_LEVEL_RESOURCES

_MODE = 0o644


def pod(obj: Object) -> None:
    """A Pod: its spec, and what only pods get, not templates: requests from limits, service links, host ports."""
    spec = part(obj, "spec")
    pod_spec(spec)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1  # of pods alone: a template keeps what it says (conversion.go)
    when_absent(spec, enableServiceLinks=True)
    for container in (*items(spec, "containers"), *items(spec, "initContainers")):
        limits = container["resources"].get("limits")
        if limits:
            requests = part(container["resources"], "requests")
            for name, amount in limits.items():
                requests.setdefault(name, amount)
        if spec.get("hostNetwork"):
            for port in items(container, "ports"):
                when_empty(port, hostPort=port.get("containerPort", 0))
    agree(obj.get("status"), "podIP", "podIPs", "ip")
    if (spec.get("resources") or {}).get("limits"):
        _pod_requests(obj, spec["resources"])


def _pod_requests(pod: Object, resources: Object) -> None:
    """What a pod with limits of its own asks for: as much as its containers, and where they say nothing, its limits
    (KEP-2837, defaultPodRequests)."""
    amounts = pod_amounts(pod, "requests", overhead=False, own=False)
    limits, said = resources["limits"], resources.get("requests") or {}
    missing = {name: str(amounts[name]) for name in POD_LEVEL_RESOURCES if name in amounts and name not in said}
    missing = {**{name: limits[name] for name in POD_LEVEL_RESOURCES if name in limits}, **missing, **said}
    if missing:
        resources["requests"] = missing


def template(obj: Object) -> None:
    """The pod template `obj["template"]` of a workload."""
    inner = part(obj, "template")
    part(inner, "metadata")
    pod_spec(part(inner, "spec"))


def pod_spec(spec: Object) -> None:
    """A PodSpec, in a Pod or in a template."""
    when_empty(spec, dnsPolicy="ClusterFirst", restartPolicy="Always", schedulerName="default-scheduler")
    when_absent(spec, securityContext={}, terminationGracePeriodSeconds=30)
    if spec.get("serviceAccountName"):
        # The deprecated field mirrors the new one (conversion.go), and old clients read it.
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    round_up(spec, "overhead")
    round_up(spec.get("resources"), "limits", "requests")
    for volume in items(spec, "volumes"):
        _volume(volume)
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in items(spec, kind):
            _container(container)


def _container(container: Object) -> None:
    policy = "Always" if _tag(container.get("image", "")) == "latest" else "IfNotPresent"
    when_empty(
        container,
        imagePullPolicy=policy,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    when_absent(container, resources={})
    round_up(container["resources"], "limits", "requests")
    for port in items(container, "ports"):
        when_empty(port, protocol="TCP")
    for variable in items(container, "env"):
        source = variable.get("valueFrom") or {}
        if "fieldRef" in source:
            when_empty(source["fieldRef"], apiVersion="v1")
        if "resourceFieldRef" in source:
            when_absent(source["resourceFieldRef"], divisor="0")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(name):
            _probe(probe)
    lifecycle = container.get("lifecycle") or {}
    for handler in lifecycle.values():
        _http_get(handler)


def _probe(probe: Object) -> None:
    when_empty(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _http_get(probe)
    if "grpc" in probe:
        when_absent(probe["grpc"], service="")


def _http_get(handler: Object) -> None:
    if action := handler.get("httpGet"):
        when_empty(action, path="/", scheme="HTTP")


def _tag(image: str) -> str:
    """The tag an image reference stands for: `latest` when it names neither tag nor digest, "" for a digest alone."""
    name, _, digest = image.partition("@")
    head, separator, tag = name.rpartition(":")
    if separator and "/" not in tag and head:
        return tag
    return "" if digest else "latest"


def _volume(volume: Object) -> None:
    if not any(value is not None for name, value in volume.items() if name != "name"):
        volume["emptyDir"] = {}
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        if name in volume:
            when_absent(volume[name], defaultMode=_MODE)
    _downward(volume.get("downwardAPI") or {})
    for projection in items(volume.get("projected") or {}, "sources"):
        _downward(projection.get("downwardAPI") or {})
        if "serviceAccountToken" in projection:
            when_absent(projection["serviceAccountToken"], expirationSeconds=3600)
    if "ephemeral" in volume and (claim := volume["ephemeral"].get("volumeClaimTemplate")):
        claim_spec(part(claim, "spec"))
    if "image" in volume:
        latest = _tag(volume["image"].get("reference", "")) == "latest"
        when_empty(volume["image"], pullPolicy="Always" if latest else "IfNotPresent")
    source(volume)


def _downward(volume: Object) -> None:
    for item in items(volume, "items"):
        if "fieldRef" in item:
            when_empty(item["fieldRef"], apiVersion="v1")
        if "resourceFieldRef" in item:
            when_absent(item["resourceFieldRef"], divisor="0")
