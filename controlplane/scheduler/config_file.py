"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1), read strictly: what is not followed here is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    """What the file says; None or empty where it says nothing."""

    kubeconfig: str = ""
    leader_elect: bool | None = None
    leader_lease: Lease = DEFAULT_LEASE
    lease: LeaseAt = DEFAULT_LEASE_AT
    percentage_of_nodes_to_score: int = 0
    profiles: tuple[Profile, ...] = (Profile(),)
    extenders: tuple[ExtenderConfig, ...] = ()
    backoffs: Backoffs = DEFAULT_BACKOFFS
    delay_cache: bool = False


def read_file(path: Path, problems: Problems) -> FileConfig:
    """The file at `path`; everything that is wrong with it goes to `problems`."""
    from apimachinery.meta.yaml_text import BadYaml, load, unmarshal_errors  # only who has a file needs it

    doubled: list[str] = []
    try:
        document = load(path.read_bytes(), doubled)
    except OSError as error:
        problems.add(str(path), error.strerror or str(error))
        return FileConfig()
    except BadYaml as error:
        problems.add(str(path), str(error))
        return FileConfig()
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        problems.add(str(path), f"not a {KIND} of {API_VERSION}")
        return FileConfig()
    if doubled:
        problems.add(str(path), f"strict decoding error: {unmarshal_errors(doubled)}")
    return read_document(document, problems)


def read_document(document: Mapping[str, Any], problems: Problems) -> FileConfig:
    """The configuration in a document of the right kind; everything that is wrong with it goes to `problems`."""
    fields = Fields(problems)
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
            problems.add(f"{where}.schedulerName", "Required value")
    names = [profile.scheduler_name for profile in profiles]
    for index, name in enumerate(names):
        if name in names[:index]:
            problems.add(f"profiles[{index}].schedulerName", f'Duplicate value: "{name}"')
    extenders = read_extenders(fields, document)
    ignored = frozenset(name for each in extenders for name in each.ignored)
    election = fields.object("leaderElection", document)
    times = _ELECTION[:3]
    lease, renew, retry = (
        fields.seconds(name, election, "leaderElection", default=usual, words="must be greater than zero")
        for name, usual in zip(times, DEFAULT_LEASE, strict=True)
    )
    return FileConfig(
        kubeconfig=fields.text("kubeconfig", fields.object("clientConnection", document), "clientConnection"),
        leader_elect=election.get("leaderElect"),
        leader_lease=(lease, renew, retry),
        lease=_lease_at(fields, election),
        percentage_of_nodes_to_score=percentage,
        profiles=tuple(replace(each, fit=replace(each.fit, ignored=each.fit.ignored | ignored)) for each in profiles),
        extenders=extenders,
        backoffs=_backoffs(fields, document),
        delay_cache=fields.switch("delayCacheUntilActive", document),
    )


def _lease_at(fields: Fields, election: Mapping[str, Any]) -> LeaseAt:
    path, usual = "leaderElection", DEFAULT_LEASE_AT
    fields.only(path, election, _ELECTION)
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
