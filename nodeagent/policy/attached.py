"""Addresses that pods have before their status tells them: a pod is isolated when it is attached, not when told of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from apimachinery.meta import objects
from apimachinery.meta.pods import MIRROR

from .model import Object, Pod, read_pod, status_ips


@dataclass(frozen=True, slots=True)
class _Note:
    uid: str
    ips: tuple[str, ...]
    before: tuple[str, ...]  # what the status said when the pod was attached


class Attached:
    """What the agent of the CNI plugins told, until the pod's status says something new or the pod is gone."""

    def __init__(self) -> None:
        self._notes: dict[str, _Note] = {}

    def note(self, pod: Object, ips: tuple[str, ...]) -> None:
        """An address is the last pod's that was given it."""
        self._notes = {key: one for key, one in self._notes.items() if not set(one.ips) & set(ips)}
        self._notes[objects.key(pod)] = _Note(objects.uid(pod), ips, status_ips(pod))

    def read(self, pods: Iterable[Object]) -> list[Pod]:
        """All pods that policies may concern, with the addresses that they have; those just attached are last, for an
        address may still be in the status of the pod that had it before."""
        said: list[Pod] = []
        early: list[Pod] = []
        left: dict[str, _Note] = {}
        for obj in pods:
            note = self._notes.get(objects.key(obj))
            if note is None or not _holds(note, obj):
                if (pod := read_pod(obj)) is not None:
                    said.append(pod)
            elif (pod := read_pod(obj, note.ips)) is not None:
                left[objects.key(obj)] = note
                early.append(pod)
        self._notes = left
        taken = {ip for pod in early for ip in pod.ips}
        others = (replace(pod, ips=tuple(ip for ip in pod.ips if ip not in taken)) for pod in said)
        return [*(pod for pod in others if pod.ips), *early] if taken else said


def is_meant(pod: Object, uid: str) -> bool:
    """Whether the API's pod is the one with this UID. A static pod's is noted on its mirror; "" is any pod's."""
    annotations: Mapping[str, str] = objects.annotations(pod)
    return not uid or uid in (objects.uid(pod), annotations.get(MIRROR))


def _holds(note: _Note, pod: Object) -> bool:
    said = status_ips(pod)
    return objects.uid(pod) == note.uid and (not said or said == note.before) and said != note.ips
