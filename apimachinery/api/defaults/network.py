"""Defaults of Services, endpoints and networking (pkg/apis/{core,discovery,networking})."""

from apimachinery.api.defaults.fill import Object, items, part, when_absent, when_empty

_STICKY_SECONDS = 10800


def service(obj: Object) -> None:
    """A Service. Addresses, families and node ports are allocated by the server, not defaulted."""
    spec = part(obj, "spec")
    when_empty(spec, sessionAffinity="None", type="ClusterIP")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if config.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _STICKY_SECONDS}}
    for port in items(spec, "ports"):
        when_empty(port, protocol="TCP", targetPort=port.get("port", 0))
    external = spec["type"] in ("NodePort", "LoadBalancer")
    if external or (spec["type"] == "ClusterIP" and spec.get("externalIPs")):
        when_empty(spec, externalTrafficPolicy="Cluster")
    if external or spec["type"] == "ClusterIP":
        when_absent(spec, internalTrafficPolicy="Cluster")
    balancer = part(part(obj, "status"), "loadBalancer")
    if spec["type"] == "LoadBalancer":
        when_absent(spec, allocateLoadBalancerNodePorts=True)
        for ingress in items(balancer, "ingress"):
            if ingress.get("ip"):
                when_absent(ingress, ipMode="VIP")


def endpoints(obj: Object) -> None:
    """Endpoints: TCP."""
    for subset in items(obj, "subsets"):
        for port in items(subset, "ports"):
            when_empty(port, protocol="TCP")


def endpoint_slice(obj: Object) -> None:
    """An EndpointSlice: ports without a name have the empty one, and are TCP."""
    for port in items(obj, "ports"):
        when_absent(port, name="", protocol="TCP")


def network_policy(obj: Object) -> None:
    """A NetworkPolicy: TCP ports; the policy types follow from the rules given."""
    spec = part(obj, "spec")
    for direction in ("ingress", "egress"):
        for rule in items(spec, direction):
            for port in items(rule, "ports"):
                when_absent(port, protocol="TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def ingress_class(obj: Object) -> None:
    """An IngressClass: parameters of cluster scope."""
    if parameters := part(obj, "spec").get("parameters"):
        when_absent(parameters, scope="Cluster")
