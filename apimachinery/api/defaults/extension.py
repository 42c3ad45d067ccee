"""Defaults of the kinds that extend the API server (webhooks, policies, CRDs, flow control)."""

from apimachinery.api.defaults.fill import Object, items, part, when_absent, when_empty


def webhooks(obj: Object) -> None:
    """A Mutating- or ValidatingWebhookConfiguration: fail closed, ten seconds, every object."""
    mutating = obj.get("kind") == "MutatingWebhookConfiguration"
    for hook in items(obj, "webhooks"):
        when_absent(hook, failurePolicy="Fail", timeoutSeconds=10)
        _match(hook)
        if mutating:
            when_absent(hook, reinvocationPolicy="Never")
        _service_port(hook.get("clientConfig") or {})


def admission_policy(obj: Object) -> None:
    """A ValidatingAdmissionPolicy."""
    spec = part(obj, "spec")
    when_absent(spec, failurePolicy="Fail")
    if "matchConstraints" in spec:
        _match(spec["matchConstraints"], "resourceRules", "excludeResourceRules")


def admission_policy_binding(obj: Object) -> None:
    """A ValidatingAdmissionPolicyBinding."""
    spec = part(obj, "spec")
    if "matchResources" in spec:
        _match(spec["matchResources"], "resourceRules", "excludeResourceRules")


def _match(holder: Object, *lists: str) -> None:
    when_absent(holder, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for name in lists or ("rules",):
        for rule in items(holder, name):
            when_absent(rule, scope="*")


def _service_port(config: Object) -> None:
    if config.get("service") is not None:
        when_absent(config["service"], port=443)


def custom_resource_definition(obj: Object) -> None:
    """A CustomResourceDefinition: names from the kind, no conversion."""
    spec = part(obj, "spec")
    names = part(spec, "names")
    kind = names.get("kind", "")
    if kind:
        when_empty(names, singular=kind.lower(), listKind=f"{kind}List")
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    _service_port((conversion.get("webhook") or {}).get("clientConfig") or {})


def api_service(obj: Object) -> None:
    """An APIService: port 443."""
    _service_port(part(obj, "spec"))


def flow_schema(obj: Object) -> None:
    """A FlowSchema: the middle precedence."""
    when_empty(part(obj, "spec"), matchingPrecedence=1000)


def priority_level(obj: Object) -> None:
    """A PriorityLevelConfiguration: upstream's shares and queues."""
    spec = part(obj, "spec")
    if "exempt" in spec:
        when_absent(spec["exempt"], nominalConcurrencyShares=0, lendablePercent=0)
    if "limited" in spec:
        limited = spec["limited"]
        when_absent(limited, nominalConcurrencyShares=30, lendablePercent=0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            when_empty(queuing, queues=64, handSize=8, queueLengthLimit=50)
