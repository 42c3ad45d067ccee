"""What governs requests: webhooks, admission policies, flow control, aggregation; CSI drivers and attachments."""

from __future__ import annotations

from datetime import datetime

from apimachinery.meta import go_print, pods
from controlplane.apiserver.tables.columns import NONE, UNSET, Cell, Object, Printer, age, columns, name, spec, state


def print_webhooks(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), len(obj.get("webhooks") or []), age(obj, now)]


def print_policy(obj: Object, now: datetime) -> list[Cell]:
    kind = spec(obj).get("paramKind")
    shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET
    return [name(obj), len(spec(obj).get("validations") or []), shown, age(obj, now)]


def print_policy_binding(obj: Object, now: datetime) -> list[Cell]:
    reference, shown = spec(obj).get("paramRef") or {}, UNSET
    if reference.get("name"):
        # Whether the parameter lies in a namespace is not known here.
        shown = f"{reference.get('namespace') or '*'}/{reference['name']}"
    elif reference.get("selector") is not None:
        shown = go_print.label_selector(reference["selector"])
    return [name(obj), spec(obj).get("policyName") or "", shown, age(obj, now)]


def print_flow_schema(obj: Object, now: datetime) -> list[Cell]:
    flow = spec(obj)
    dangling = pods.condition(obj, "Dangling")
    return [
        name(obj),
        (flow.get("priorityLevelConfiguration") or {}).get("name") or "",
        flow.get("matchingPrecedence") or 0,
        (flow.get("distinguisherMethod") or {}).get("type") or NONE,
        age(obj, now),
        "?" if dangling is None else dangling.get("status") or "",
    ]


def by_precedence(obj: Object) -> tuple[int, str]:
    """The order in which flow schemas are tried."""
    return spec(obj).get("matchingPrecedence") or 0, name(obj)


def print_priority_level(obj: Object, now: datetime) -> list[Cell]:
    limited = spec(obj).get("limited")
    queuing = ((limited or {}).get("limitResponse") or {}).get("queuing")
    queues: list[Cell] = [NONE] * 3
    if queuing is not None:
        queues = [queuing.get(field) or 0 for field in ("queues", "handSize", "queueLengthLimit")]
    shares = NONE if limited is None else limited.get("nominalConcurrencyShares")
    return [name(obj), spec(obj).get("type") or "", shares, *queues, age(obj, now)]


def print_api_service(obj: Object, now: datetime) -> list[Cell]:
    service, available = spec(obj).get("service"), pods.condition(obj, "Available")
    shown = f"{service.get('namespace')}/{service.get('name')}" if service else "Local"
    status = "Unknown"
    if available is not None:
        status = str(available.get("status"))
        if status != "True" and available.get("reason"):
            status = f"{status} ({available['reason']})"
    return [name(obj), shown, status, age(obj, now)]


def print_csi_driver(obj: Object, now: datetime) -> list[Cell]:
    driver = spec(obj)
    requests = driver.get("tokenRequests")
    return [
        name(obj),
        driver.get("attachRequired", True),
        bool(driver.get("podInfoOnMount")),
        bool(driver.get("storageCapacity")),
        UNSET if requests is None else ",".join(each.get("audience") or "" for each in requests),
        bool(driver.get("requiresRepublish")),
        ",".join(driver.get("volumeLifecycleModes") or []) or NONE,
        age(obj, now),
    ]


def print_storage_capacity(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), obj.get("storageClassName") or "", obj.get("capacity") or UNSET]


def print_attachment(obj: Object, now: datetime) -> list[Cell]:
    attachment = spec(obj)
    return [
        name(obj),
        attachment.get("attacher") or "",
        (attachment.get("source") or {}).get("persistentVolumeName") or "",
        attachment.get("nodeName") or "",
        bool(state(obj).get("attached")),
        age(obj, now),
    ]


def print_component(obj: Object, now: datetime) -> list[Cell]:
    healthy = next((each for each in obj.get("conditions") or [] if each.get("type") == "Healthy"), None)
    if healthy is None:
        return [name(obj), "Unknown", "", ""]
    status = "Healthy" if healthy.get("status") == "True" else "Unhealthy"
    return [name(obj), status, healthy.get("message") or "", healthy.get("error") or ""]


_WEBHOOKS = Printer(columns("Name, Webhooks:integer, Age"), print_webhooks)
_ADMISSION, _FLOW, _STORAGE = "admissionregistration.k8s.io", "flowcontrol.apiserver.k8s.io", "storage.k8s.io"

PRINTERS = {
    (_ADMISSION, "MutatingWebhookConfiguration"): _WEBHOOKS,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _WEBHOOKS,
    (_ADMISSION, "ValidatingAdmissionPolicy"): Printer(
        columns("Name, Validations:integer, ParamKind, Age"), print_policy
    ),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): Printer(
        columns("Name, PolicyName, ParamRef, Age"), print_policy_binding
    ),
    (_FLOW, "FlowSchema"): Printer(
        columns("Name, PriorityLevel, MatchingPrecedence, DistinguisherMethod, Age, MissingPL"),
        print_flow_schema,
        order=by_precedence,
    ),
    (_FLOW, "PriorityLevelConfiguration"): Printer(
        columns("Name, Type, NominalConcurrencyShares, Queues, HandSize, QueueLengthLimit, Age"), print_priority_level
    ),
    ("apiregistration.k8s.io", "APIService"): Printer(columns("Name, Service, Available, Age"), print_api_service),
    (_STORAGE, "CSIDriver"): Printer(
        columns(
            "Name, AttachRequired:boolean, PodInfoOnMount:boolean, StorageCapacity:boolean, TokenRequests, "
            "RequiresRepublish:boolean, Modes, Age"
        ),
        print_csi_driver,
    ),
    (_STORAGE, "CSIStorageCapacity"): Printer(columns("Name, StorageClassName, Capacity"), print_storage_capacity),
    (_STORAGE, "VolumeAttachment"): Printer(
        columns("Name, Attacher, PV, Node, Attached:boolean, Age"), print_attachment
    ),
    ("", "ComponentStatus"): Printer(columns("Name, Status, Message, Error"), print_component),
}
