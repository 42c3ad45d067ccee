"""A pod's whole status from what the runtime says, what went wrong, and what the API showed before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from apimachinery.meta import times
from apimachinery.meta.pod_resources import qos_class
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod
from nodeagent.kubelet.runtime.state import PodState

from .containers import ContainerView, compute_containers, shorten_messages
from .ending import end_containers
from .phase import compute_conditions, compute_phase, has_begun

Status = dict[str, Any]

_TERMINAL = ("Succeeded", "Failed")
# Bytes of last words that all containers of a pod may leave together (MaxPodTerminationMessageLogLength).
_WORDS_MAX = 12 * 1024
_OF_THE_REFUSED = ("phase", "reason", "message", "qosClass", "startTime")
# Ours to write; every other condition belongs to somebody else and is left alone.
OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A pod that the kubelet itself has ended or refused: phase Failed with these, once nothing of it runs.

    refused: it was never started, so there are no containers to show.
    """

    reason: str
    message: str
    conditions: Sequence[Mapping[str, str]] = field(default_factory=tuple)
    refused: bool = False


def compute_status(
    pod: Pod,
    state: PodState,
    view: ContainerView,
    *,
    previous: Mapping[str, Any],
    host_ips: Sequence[str],
    now: datetime,
    terminal: bool = False,
    verdict: Verdict | None = None,
) -> Status:
    """The status to show. previous: the status last shown. terminal: the pod has been ended, nothing will start."""
    old = {
        key: {status["name"]: status for status in previous.get(key) or ()}
        for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    }
    # Failed means that nothing of the pod uses the node any more: others may be put in its place.
    fallen = verdict if not state.running else None
    ended = terminal or fallen is not None
    init = compute_containers(
        pod, pods.init_containers(pod), state, old["initContainerStatuses"], view, is_init=True, terminal=ended
    )
    regular = compute_containers(
        pod, pods.regular_containers(pod), state, old["containerStatuses"], view, is_init=False, terminal=ended
    )
    debug = pods.ephemeral_containers(pod)
    ephemeral = compute_containers(
        pod, debug, state, old["ephemeralContainerStatuses"], view, is_init=False, terminal=ended
    )
    for entry in ephemeral:
        # They have no probes, and no part in the pod's readiness.
        entry["ready"] = False
        entry.pop("started", None)
    phase = "Failed" if fallen else compute_phase(pod, init, regular, terminal=terminal)
    if previous.get("phase") in _TERMINAL:
        phase = previous["phase"]
    elif phase in _TERMINAL and state.running:
        # Its sidecars are still to be ended: whoever waits for its place waits for them too (mergePodStatus).
        phase = "Running" if has_begun(regular) else previous.get("phase") or "Pending"
    status: Status = {
        "phase": phase,
        "qosClass": qos_class(pod),
        "startTime": previous.get("startTime") or times.rfc3339(now),
        "conditions": _with_times(
            compute_conditions(
                pod,
                phase,
                init,
                regular,
                sandbox_ready=state.sandbox is not None and state.sandbox.ready,
                gates={c["type"]: c["status"] for c in previous.get("conditions") or ()},
            ),
            fallen.conditions if fallen else (),
            previous.get("conditions") or (),
            now,
        ),
        # By name, as upstream shows them; init containers stay in the order in which they run.
        "containerStatuses": sorted(regular, key=_name),
    }
    if init:
        status["initContainerStatuses"] = init
    if ephemeral:
        status["ephemeralContainerStatuses"] = sorted(ephemeral, key=_name)
    if host_ips:
        status["hostIP"] = host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in host_ips]
    ips = list(host_ips) if pods.host_network(pod) else list(state.ips)
    if not ips and phase in _TERMINAL:
        ips = [entry["ip"] for entry in previous.get("podIPs") or ()]
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]
    if fallen:
        status |= {"reason": fallen.reason, "message": fallen.message}
    else:
        status |= {key: previous[key] for key in ("reason", "message") if previous.get(key)}
    shorten_messages([*init, *regular], _WORDS_MAX // max(1, len(init) + len(regular)))
    if ended:
        end_containers(pod, init, regular, previous)
    refused = fallen.refused if fallen else phase == "Failed" and not previous.get("containerStatuses")
    if refused and not state.containers:
        # Kubelet.rejectPod: nothing was done for it, so there is nothing else to show.
        status = {key: status[key] for key in _OF_THE_REFUSED if key in status}
        told = fallen.conditions if fallen else ()
        status["conditions"] = _with_times((), told, previous.get("conditions") or (), now)
    return status


def has_ended(pod: Pod, status: Mapping[str, Any]) -> bool:
    """Whether the pod with this status has come to its end, so that what still runs of it (sidecars) is to go too."""
    init, regular = status.get("initContainerStatuses") or (), status.get("containerStatuses") or ()
    return status["phase"] in _TERMINAL or compute_phase(pod, init, regular, terminal=False) in _TERMINAL


def _name(status: Mapping[str, Any]) -> str:
    return str(status["name"])


def _with_times(
    conditions: Sequence[Mapping[str, str]],
    more: Sequence[Mapping[str, str]],
    previous: Sequence[Mapping[str, Any]],
    now: datetime,
) -> list[dict[str, Any]]:
    """Conditions with lastTransitionTime kept while the status does not change."""
    old = {condition["type"]: condition for condition in previous}
    result = []
    for condition in [*conditions, *more]:
        before = old.get(condition["type"])
        kept = before is not None and before.get("status") == condition["status"]
        since = before.get("lastTransitionTime") if before is not None and kept else None
        result.append({**condition, "lastProbeTime": None, "lastTransitionTime": since or times.rfc3339(now)})
    return result
