"""ConfigMaps, Secrets, ServiceAccounts, Events, quotas."""

from __future__ import annotations

from datetime import datetime

from controlplane.apiserver.tables.columns import (
    UNKNOWN,
    Cell,
    Object,
    Printer,
    age,
    columns,
    format_labels,
    name,
    since,
    state,
)


def print_config_map(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), age(obj, now)]


def print_secret(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), obj.get("type") or "", len(obj.get("data") or {}), age(obj, now)]


def print_service_account(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), len(obj.get("secrets") or []), age(obj, now)]


def print_event(obj: Object, now: datetime) -> list[Cell]:
    """LAST SEEN TYPE REASON OBJECT, then the wide columns. Of both groups' field names."""
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    series = obj.get("series") or {}
    count = obj.get("count") or obj.get("deprecatedCount") or 0
    if series:
        count, last = series.get("count") or count, series.get("lastObservedTime") or last
    elif not count:
        count = 1
    last = last or first
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    target = about.get("kind", "").lower()
    if about.get("name"):
        target += f"/{about['name']}"
    return [
        since(last, now) if last else UNKNOWN,
        obj.get("type") or "",
        obj.get("reason") or "",
        target,
        about.get("fieldPath") or "",
        f"{component}, {host}" if host else component,
        str(obj.get("message") or obj.get("note") or "").strip(),
        since(first, now) if first else UNKNOWN,
        count,
        name(obj),
    ]


def print_quota(obj: Object, now: datetime) -> list[Cell]:
    hard, used = state(obj).get("hard") or {}, state(obj).get("used") or {}
    requests = [f"{key}: {used.get(key, '0')}/{hard[key]}" for key in sorted(hard) if not key.startswith("limits.")]
    limits = [f"{key}: {used.get(key, '0')}/{hard[key]}" for key in sorted(hard) if key.startswith("limits.")]
    return [name(obj), ", ".join(requests), ", ".join(limits), age(obj, now)]


def print_limit_range(obj: Object, now: datetime) -> list[Cell]:
    return [name(obj), obj["metadata"].get("creationTimestamp")]


def print_pod_template(obj: Object, now: datetime) -> list[Cell]:
    containers = ((obj.get("template") or {}).get("spec") or {}).get("containers") or []
    labels = (obj.get("template") or {}).get("metadata", {}).get("labels") or {}
    return [
        name(obj),
        ",".join(each["name"] for each in containers),
        ",".join(each.get("image", "") for each in containers),
        format_labels(labels),
    ]


_EVENT = columns("Last Seen, Type, Reason, Object, Subobject*, Source*, Message, First Seen*, Count*, Name*")

PRINTERS = {
    ("", "ConfigMap"): Printer(columns("Name, Data, Age"), print_config_map),
    ("", "Secret"): Printer(columns("Name, Type, Data, Age"), print_secret),
    ("", "ServiceAccount"): Printer(columns("Name, Secrets, Age"), print_service_account),
    ("", "Event"): Printer(_EVENT, print_event),
    ("events.k8s.io", "Event"): Printer(_EVENT, print_event),
    ("", "ResourceQuota"): Printer(columns("Name, Request, Limit, Age"), print_quota),
    ("", "LimitRange"): Printer(columns("Name, Created At:date"), print_limit_range),
    ("", "PodTemplate"): Printer(columns("Name, Containers, Images, Pod Labels"), print_pod_template),
}
