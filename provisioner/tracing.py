"""Joining what components have noted into one timeline: what led to an object, and what came of it. Pure.

Three facts tie it together. A write's revision is nobody else's, so it names the request that made it, and the work of
the component that sent it. A delivery names the object's revision. A reconciliation names the deliveries behind it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Thing = tuple[str, str, str]
"""Resource (`deployments.apps`), key (`namespace/name`), revision."""

STEPS_MAX = 2000
"""Lines of one timeline; what comes later is left out, and told."""


@dataclass(frozen=True, slots=True)
class Noted:
    """An entry of a component's ring (apimachinery.kit.trace), by the reader's clock. where: component and node."""

    at: float
    where: str
    work: int
    what: str
    thing: Thing
    detail: Any


@dataclass(slots=True)
class Step:
    """A line of the timeline. depth: how many causes lie between it and the first."""

    at: float
    where: str
    depth: int
    what: str
    thing: Thing
    detail: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """What one component answered. node: "" for the control plane of one master. sent, received: the reader's clock."""

    body: Mapping[str, Any]
    node: str
    sent: float
    received: float

    @property
    def where(self) -> str:
        component = str(self.body["component"])
        return f"{component} {self.node}" if self.node else component

    def skew(self) -> float:
        """How far its clock is ahead of ours, in seconds; 0 when the difference may be the way's.

        As in NTP: it told its time somewhere between our asking and our hearing."""
        ahead = float(self.body["now"]) - (self.sent + self.received) / 2
        return ahead if abs(ahead) > (self.received - self.sent) / 2 + 0.001 else 0.0

    def entries(self) -> Iterable[Noted]:
        """The entries, by our clock."""
        skew = self.skew()
        for at, work, what, resource, key, revision, detail in self.body["entries"]:
            yield Noted(at - skew, self.where, work, what, (resource, key, revision), detail)


class Joined:
    """Everything that was noted, findable by what ties it together."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.stored: dict[Thing, Noted] = {}
        self._by_revision: dict[str, list[Thing]] = defaultdict(list)
        self._by_work: dict[tuple[str, int], list[Noted]] = defaultdict(list)
        self._caused: dict[Thing, list[Noted]] = defaultdict(list)
        self._refused: dict[tuple[str, str], list[Noted]] = defaultdict(list)
        self._heard: dict[Thing, list[Noted]] = defaultdict(list)
        self._wrote: dict[str, Noted] = {}
        self._bindings: dict[str, Noted] = {}
        self._of_pods: dict[str, list[Noted]] = defaultdict(list)
        self._of_services: dict[str, list[Noted]] = defaultdict(list)
        self._containers: dict[str, str] = {}
        for document in documents:
            for entry in document.entries():
                self._file(entry)

    def _file(self, entry: Noted) -> None:
        if entry.work:
            self._by_work[entry.where, entry.work].append(entry)
        match entry.what:
            case "request":
                if entry.detail.get("refused"):
                    self._refused[entry.thing[:2]].append(entry)
            case "stored":
                self.stored[entry.thing] = entry
                self._by_revision[entry.thing[2]].append(entry.thing)
            case "delivered":
                self._heard[entry.thing].append(entry)
            case "reconciled":
                for cause in entry.detail["causes"]:
                    self._caused[_thing(cause)].append(entry)
            case "wrote":
                if entry.thing[2]:
                    self._wrote[entry.thing[2]] = entry
                elif entry.thing[0].endswith("/binding"):
                    self._bindings[_bound(entry.thing[0])] = entry
            case "cri" | "cni":
                pod, facts = entry.thing[1], entry.detail
                if pod and "id" in facts:
                    self._containers[facts["id"]] = pod
                if pod := pod or self._containers.get(facts.get("id", ""), ""):
                    self._of_pods[pod].append(entry)
            case "ruled":
                self._of_services[entry.thing[1]].append(entry)

    def request_of(self, thing: Thing) -> Noted | None:
        """The request whose write `thing` is."""
        stored = self.stored.get(thing)
        return self._within(stored, "request") if stored is not None else None

    def admitted(self, request: Noted) -> list[Noted]:
        """The rounds of admission of a request."""
        return [each for each in self._by_work[request.where, request.work] if each.what == "admitted"]

    def refused(self, resource: str, key: str) -> list[Noted]:
        """The requests about an object that were refused."""
        return self._refused.get((resource, key), [])

    def writer_of(self, thing: Thing) -> Noted | None:
        """The reconciliation, of whatever component, that wrote `thing`."""
        wrote = self._wrote.get(thing[2])
        request = self.request_of(thing) if wrote is None else None
        if request is not None and request.detail["subresource"] == "binding":
            wrote = self._bindings.get(thing[1])
        return self._within(wrote, "reconciled") if wrote is not None else None

    def heard(self, thing: Thing) -> list[Noted]:
        """The deliveries of `thing`, the first one first; one for each component."""
        first: dict[str, Noted] = {}
        for each in sorted(self._heard.get(thing, ()), key=lambda one: one.at):
            first.setdefault(each.where, each)
        return list(first.values())

    def caused(self, thing: Thing) -> list[Noted]:
        """The reconciliations that `thing` is a cause of."""
        return self._caused.get(thing, [])

    def written_in(self, reconciled: Noted) -> list[Thing]:
        """What a reconciliation wrote, as far as it was stored."""
        found = []
        for each in self._by_work[reconciled.where, reconciled.work]:
            if each.what == "wrote" and each.thing[2]:
                found += self._by_revision.get(each.thing[2], [])
            elif each.what == "wrote" and each.thing[0].endswith("/binding"):
                found += self._bound_by(each)
        return found

    def of_pod(self, key: str) -> list[Noted]:
        """What a node's runtime and network did for a pod."""
        return self._of_pods.get(key, [])

    def of_service(self, key: str) -> list[Noted]:
        """When nodes had a Service's rules in the kernel."""
        return self._of_services.get(key, [])

    def revisions(self, resource: str, key: str) -> list[Noted]:
        """Every stored version of an object, the oldest first."""
        found = [each for thing, each in self.stored.items() if thing[:2] == (resource, key)]
        return sorted(found, key=lambda each: int(each.thing[2]))

    def _within(self, entry: Noted, what: str) -> Noted | None:
        mates = self._by_work[entry.where, entry.work] if entry.work else []
        return next((each for each in mates if each.what == what), None)

    def _bound_by(self, wrote: Noted) -> list[Thing]:
        key = _bound(wrote.thing[0])
        return [
            each.thing
            for each in self.revisions("pods", key)
            if (request := self.request_of(each.thing)) is not None and request.detail["subresource"] == "binding"
        ]


def compute_timeline(joined: Joined, resource: str, key: str) -> list[Step]:
    """The steps that led to the object and those that came of it, by time; and what was refused to be done to it. Empty
    when nobody remembers it."""
    refused = [_request_step(joined, each, 0, each.thing, None) for each in joined.refused(resource, key)]
    versions = joined.revisions(resource, key)
    if not versions:
        return refused
    first = versions[0].thing
    roots = sorted((first, *_ancestors(joined, first)), key=lambda thing: int(thing[2]))
    depth = {thing: number for number, thing in enumerate(roots)}
    waiting = deque(roots[-1:])
    for thing in _changes(joined, first):
        depth[thing] = 0
        waiting.append(thing)
    works: dict[tuple[str, int], tuple[Noted, int]] = {}
    while waiting and len(depth) < STEPS_MAX:
        thing = waiting.popleft()
        for reconciled in joined.caused(thing):
            if (reconciled.where, reconciled.work) in works:
                continue
            below = depth[thing] + 1
            works[reconciled.where, reconciled.work] = reconciled, below
            for made in joined.written_in(reconciled):
                if made in depth:
                    continue
                depth[made] = below
                waiting.append(made)
                if joined.stored[made].detail == "ADDED":
                    for later in _changes(joined, made):
                        depth.setdefault(later, below + 1)
                        waiting.append(later)
    for number, thing in enumerate(roots[1:], 1):
        if (writer := joined.writer_of(thing)) is not None:
            works.setdefault((writer.where, writer.work), (writer, number))
    return sorted([*_laid_out(joined, depth, list(works.values())), *refused], key=lambda step: step.at)[:STEPS_MAX]


def _changes(joined: Joined, thing: Thing) -> list[Thing]:
    """Later versions of an object whose writers name no cause: what people do to it, and a kubelet's word of a pod."""
    later = [each.thing for each in joined.revisions(*thing[:2]) if int(each.thing[2]) > int(thing[2])]
    return [each for each in later if joined.writer_of(each) is None]


def _ancestors(joined: Joined, thing: Thing) -> Iterable[Thing]:
    """What led to `thing`, from cause to cause; of several causes the last before it."""
    seen = {thing}
    while (writer := joined.writer_of(thing)) is not None:
        causes = [_thing(each) for each in writer.detail["causes"]]
        known = [each for each in causes if each in joined.stored and each not in seen]
        if not known:
            return
        thing = max(known, key=lambda each: int(each[2]))
        seen.add(thing)
        yield thing


def _laid_out(joined: Joined, depth: Mapping[Thing, int], works: Sequence[tuple[Noted, int]]) -> list[Step]:
    steps: list[Step] = []
    pods: dict[str, int] = {}
    services: dict[str, int] = {}
    for thing, below in depth.items():
        steps += _steps_of(joined, thing, below)
        if thing[0] == "pods":
            pods.setdefault(thing[1], below)
        elif thing[0] == "services":
            services.setdefault(thing[1], below)
        for each in joined.heard(thing):
            steps.append(Step(each.at, each.where, below + 1, "heard", thing, {"how": each.detail}))
    for reconciled, below in works:
        steps.append(
            Step(reconciled.at, reconciled.where, below, "reconciled", reconciled.thing, dict(reconciled.detail))
        )
        if reconciled.thing[0] == "endpointslice-controller":
            services.setdefault(reconciled.thing[1], below)
    for key, below in pods.items():
        about = ("pods", key, "")  # where only a container's id was known, too
        steps += [Step(e.at, e.where, below + 1, e.what, about, dict(e.detail)) for e in joined.of_pod(key)]
    begun = min((step.at for step in steps), default=0.0)
    for key, below in services.items():
        steps += [
            Step(e.at, e.where, below + 1, e.what, e.thing, dict(e.detail))
            for e in joined.of_service(key)
            if e.at >= begun
        ]
    return steps


def _steps_of(joined: Joined, thing: Thing, below: int) -> list[Step]:
    stored, request = joined.stored[thing], joined.request_of(thing)
    if request is None:
        return [Step(stored.at, stored.where, below, "stored", thing, {"how": stored.detail})]
    return [_request_step(joined, request, below, thing, stored)]


def _request_step(joined: Joined, request: Noted, below: int, thing: Thing, stored: Noted | None) -> Step:
    """stored: what came of it; None for what was refused."""
    rounds = [dict(each.detail) for each in joined.admitted(request)]
    outcome = {"how": "", "stored": None} if stored is None else {"how": stored.detail, "stored": stored.at}
    return Step(request.at, request.where, below, "request", thing, {**request.detail, **outcome, "admission": rounds})


def _thing(words: Sequence[str]) -> Thing:
    return words[0], words[1], words[2]


def _bound(path: str) -> str:
    """`namespace/name` of the pod in /api/v1/namespaces/NS/pods/NAME/binding."""
    words = path.strip("/").split("/")
    return f"{words[3]}/{words[5]}"
