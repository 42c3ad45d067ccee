"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1), read strictly: what is not followed here is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from apimachinery.client.component import DEFAULT_LEASE, DEFAULT_LEASE_NAMESPACE, Lease
from apimachinery.kit.config import Problems
from controlplane.scheduler.config_extenders import ExtenderConfig, read_extenders
from controlplane.scheduler.config_fields import Fields
from controlplane.scheduler.config_plugins import read_plugins
from controlplane.scheduler.profiles import Profile
from controlplane.scheduler.queue import DEFAULT_BACKOFFS, Backoffs

API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"

_FIELDS = (
    "apiVersion", "kind", "clientConnection", "delayCacheUntilActive", "enableContentionProfiling", "enableProfiling",
    "extenders", "leaderElection", "parallelism", "percentageOfNodesToScore", "podInitialBackoffSeconds",
    "podMaxBackoffSeconds", "profiles",
)  # fmt: skip
_CONNECTION = ("acceptContentTypes", "burst", "contentType", "kubeconfig", "qps")
_ELECTION = (
    "leaseDuration", "renewDeadline", "retryPeriod", "leaderElect", "resourceLock", "resourceName", "resourceNamespace",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeaseAt:
    """Which lease leads: schedulers of different leases run beside one another."""

    namespace: str = DEFAULT_LEASE_NAMESPACE
    name: str = "kube-scheduler"


DEFAULT_LEASE_AT = LeaseAt()


@dataclass(frozen=True, slots=True)
class FileConfig:
    """What the file says; None or empty where it says nothing. said: all of it, as it stands there."""

    kubeconfig: str = ""
    leader_elect: bool | None = None
    leader_lease: Lease = DEFAULT_LEASE
    lease: LeaseAt = DEFAULT_LEASE_AT
    percentage_of_nodes_to_score: int = 0
    profiles: tuple[Profile, ...] = (Profile(),)
    extenders: tuple[ExtenderConfig, ...] = ()
    backoffs: Backoffs = DEFAULT_BACKOFFS
    delay_cache: bool = False
    said: Mapping[str, Any] = field(default_factory=dict, compare=False)


def read_file(path: Path, problems: Problems) -> FileConfig:
    """The file at `path`; everything that is wrong with it goes to `problems`."""
    from apimachinery.meta.yaml_text import BadYaml, load, unmarshal_errors  # only who has a file needs it

    doubled: list[str] = []
    try:
        text = path.read_bytes()
        document = load(text, doubled)
    except OSError as error:
        problems.add(f"open {path}", (error.strerror or str(error)).lower())
        return FileConfig()
    except BadYaml as error:
        problems.tell(str(error))
        return FileConfig()
    document = document if isinstance(document, dict) else {}
    if told := _of_another_kind(document, text):
        problems.tell(told)
        return FileConfig()
    return read_document(document, problems, [unmarshal_errors(doubled)] if doubled else [])


def _of_another_kind(document: Mapping[str, Any], text: bytes) -> str:
    for key, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not document.get(key):
            return f"Object '{shown}' is missing in '{text.decode(errors='replace')}'"
    kind, version = document["kind"], document["apiVersion"]
    if (version, kind) == (API_VERSION, KIND):
        return ""
    known = f'no kind "{kind}" is registered for version "{version}"'
    return f'{known} in scheme "pkg/scheduler/apis/config/scheme/scheme.go:30"'


def read_document(document: Mapping[str, Any], problems: Problems, doubled: Sequence[str] = ()) -> FileConfig:
    """The configuration in a document of the right kind. What cannot be decoded goes to `problems`, or else what is
    known upstream and not followed here, and what is invalid. doubled: what is wrong with its keys."""
    fields = Fields(found := Problems())
    config = _read(fields, document)
    strict = [*fields.unknown, *doubled]
    if fields.wrong or strict:
        for each in fields.wrong or [f"strict decoding error: {', '.join(strict)}"]:
            problems.tell(each)
    else:
        for each in found:
            problems.tell(each)
    return config


def _read(fields: Fields, document: Mapping[str, Any]) -> FileConfig:
    fields.only("", document, _FIELDS)
    # One thread decides here, whatever is said; it is checked all the same.
    fields.number("parallelism", document, 1, default=16, words="should be an integer value greater than zero")
    # There are no profiles of a program to serve here; as with --profiling, hardened configurations turn them off.
    for name in ("enableProfiling", "enableContentionProfiling"):
        fields.switch(name, document)
    percentage = fields.number("percentageOfNodesToScore", document, 0, 100)
    said = fields.objects("profiles", document)
    profiles = tuple(_profile(fields, *each) for each in said) or (Profile(),)
    for where, one in said:
        if len(said) > 1 and not one.get("schedulerName"):
            fields.problems.add(f"{where}.schedulerName", "Required value")
    names = [profile.scheduler_name for profile in profiles]
    for index, name in enumerate(names):
        if name in names[:index]:
            fields.problems.add(f"profiles[{index}].schedulerName", f'Duplicate value: "{name}"')
    extenders = read_extenders(fields, document)
    ignored = frozenset(name for each in extenders for name in each.ignored)
    election = fields.object("leaderElection", document)
    times = _ELECTION[:3]
    lease, renew, retry = (
        fields.seconds(name, election, "leaderElection", default=usual, words="must be greater than zero")
        for name, usual in zip(times, DEFAULT_LEASE, strict=True)
    )
    connection = fields.object("clientConnection", document)
    fields.only("clientConnection", connection, _CONNECTION)
    fields.number("burst", connection, 0, path="clientConnection", words="must be non-negative")
    return FileConfig(
        kubeconfig=fields.text("kubeconfig", connection, "clientConnection"),
        leader_elect=election.get("leaderElect"),
        leader_lease=(lease, renew, retry),
        lease=_lease_at(fields, election),
        percentage_of_nodes_to_score=percentage,
        profiles=tuple(replace(each, fit=replace(each.fit, ignored=each.fit.ignored | ignored)) for each in profiles),
        extenders=extenders,
        backoffs=_backoffs(fields, document),
        delay_cache=fields.switch("delayCacheUntilActive", document),
        said=document,
    )


def _lease_at(fields: Fields, election: Mapping[str, Any]) -> LeaseAt:
    path, usual = "leaderElection", DEFAULT_LEASE_AT
    fields.only(path, election, _ELECTION)
    fields.switch("leaderElect", election, path)
    lock = fields.text("resourceLock", election, path) or "leases"
    if lock != "leases" and election.get("leaderElect") is not False:
        told = f'Invalid value: "{lock}": resourceLock value must be "leases"'
        fields.problems.add(f"{path}.resourceLock", told)
    return LeaseAt(
        fields.text("resourceNamespace", election, path) or usual.namespace,
        fields.text("resourceName", election, path) or usual.name,
    )


def _backoffs(fields: Fields, document: Mapping[str, Any]) -> Backoffs:
    usual = DEFAULT_BACKOFFS
    initial = fields.number(
        "podInitialBackoffSeconds", document, 1, default=int(usual.initial), words="must be greater than 0"
    )
    # The usual highest one, too, must not be below the initial one.
    said = {"podMaxBackoffSeconds": int(usual.highest), **document}
    words = "must be greater than or equal to PodInitialBackoffSeconds"
    highest = fields.number("podMaxBackoffSeconds", said, initial, default=int(usual.highest), words=words)
    return Backoffs(float(initial), float(highest))


def _profile(fields: Fields, path: str, said: Mapping[str, Any]) -> Profile:
    from controlplane.scheduler.config_args import read_arguments  # only who has a file needs the API's validation

    fields.only(path, said, ("schedulerName", "plugins", "pluginConfig", "percentageOfNodesToScore"))
    profile = Profile(fields.text("schedulerName", said, path) or "default-scheduler")
    if said.get("percentageOfNodesToScore") is not None:
        profile = replace(profile, percentage=fields.number("percentageOfNodesToScore", said, 0, 100, path))
    profile = read_plugins(fields, f"{path}.plugins", fields.object("plugins", said, path), profile)
    seen: set[str] = set()
    for where, one in fields.objects("pluginConfig", said, path):
        if (name := fields.text("name", one, where)) in seen:
            fields.problems.add(where, f'Duplicate value: "{name}"')
        seen.add(name)
        profile = read_arguments(fields, where, one, profile)
    return profile
