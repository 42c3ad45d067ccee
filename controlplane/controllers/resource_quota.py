"""ResourceQuota: how much of each quota is used (pkg/controller/resourcequota).

Admission charges the status before it lets an object be created; this controller sets the limits, counts what is really
there, and gives back what was freed. It raises what it counts at once, and lowers only what admission has left alone
for a moment: an object that was just charged may not be visible yet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMECLAIMS, PODS, RESOURCEQUOTAS, SERVICES, Resource
from apimachinery.api.quota import amounts, scopes
from apimachinery.api.quota.amounts import ZERO, Amounts
from apimachinery.api.quota.evaluators import counted_resources, evaluator, is_counted
from apimachinery.cache.informer import Informer
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import objects
from apimachinery.meta.status import ApiError, is_conflict, is_not_found
from controlplane.controllers.context import Context
from controlplane.controllers.discovery import served_resources
from controlplane.controllers.owners_plan import metadata_only

log = logging.getLogger(__name__)

Object = dict[str, Any]
About = tuple[str, str]

NAME = "resourcequota-controller"
RESYNC = 300.0
"""Seconds between two looks at a quota that nothing happened to (--resource-quota-sync-period)."""
RECHECK = 5.0
"""Seconds after a change by admission until we look whether what was charged came to be."""
QUIET = 1.0
"""Seconds without a change before a quota's usage may go down, …"""
PATIENCE = 5
"""… or so many looks that found it changing."""
_MEASURED = {(each.group, each.plural): each for each in (PODS, SERVICES, PERSISTENTVOLUMECLAIMS)}


def compute_usage(quota: Object, content: Mapping[About, Iterable[Object]], now: datetime) -> Amounts:
    """What is used of everything the quota limits. content: the namespace's objects, by group and plural."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    total: Amounts = {}
    for about in sorted(counted_resources(hard)):
        measure = evaluator(*about)
        names = measure.resources(hard)
        total = amounts.added(total, dict.fromkeys(names, ZERO))
        for obj in content.get(about) or ():
            if all(measure.in_scope(selector, obj) for selector in scopes.selectors(quota)):
                total = amounts.added(total, amounts.masked(measure.usage(obj, now), names))
    return total


def plan_status(quota: Object, usage: Amounts) -> Object | None:
    """The status to write, or None when it says so already. What is limited and cannot be counted stays as it is."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    state = quota.get("status") or {}
    used = {name: text for name, text in (state.get("used") or {}).items() if name in hard}
    used |= amounts.spelled(usage)
    wanted = {"hard": dict(hard), "used": used}
    known = {field: amounts.parse(state.get(field)) for field in ("hard", "used")}
    if known == {field: amounts.parse(wanted[field]) for field in wanted} and state:
        return None
    return wanted


def lowers(quota: Object, status: Object) -> bool:
    """Whether a status gives something back."""
    before = amounts.parse((quota.get("status") or {}).get("used"))
    after = amounts.parse(status["used"])
    return any(name in after and after[name] < amount for name, amount in before.items())


def limiting(quota: Object, abouts: Iterable[About]) -> Object:
    """The quota as if it limited nothing but these resources."""
    names = {name for about in abouts for name in evaluator(*about).resources(quota["spec"]["hard"])}
    hard = {name: limit for name, limit in quota["spec"]["hard"].items() if name in names}
    return {**quota, "spec": {**quota["spec"], "hard": hard}}


class ResourceQuotaController:
    """Reconciles quotas by namespace and name."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._context, self._client, self._clock = context, context.client, context.clock
        quotas = context.informer(RESOURCEQUOTAS)
        self._quotas = quotas.lister
        self._informers: dict[About, Informer] = {about: context.informer(each) for about, each in _MEASURED.items()}
        self._unknown: set[About] = set()
        self._queue = WorkQueue(context.clock)
        self._changed: dict[str, float] = {}
        self._put_off: dict[str, int] = {}
        self.loop = Controller(NAME, self.reconcile, self._queue, workers=context.config.workers[NAME])
        quotas.add_handler(self._quota_added, self._quota_changed, self._quota_gone)
        for about, informer in self._informers.items():
            self._listen(about, informer)

    def recall(self, other: ResourceQuotaController) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._changed, self._put_off = dict(other._changed), dict(other._put_off)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Count, and write what was counted."""
        namespace, _, name = key.partition("/")
        quota = self._quotas.get(name, namespace)
        if quota is None or objects.is_deleting(quota):
            self._put_off.pop(key, None)
            return None
        abouts = counted_resources((quota.get("spec") or {}).get("hard") or {})
        quota = await self._begin(quota, abouts)
        content = {}
        for about in abouts:
            informer = await self._informer(about)
            if informer is not None:
                content[about] = informer.lister.list(namespace)
        status = plan_status(quota, compute_usage(quota, content, self._clock.now()))
        if status is not None and lowers(quota, status):
            quiet = self._clock.monotonic() - self._changed.get(key, float("-inf"))
            if quiet < QUIET and self._put_off.get(key, 0) < PATIENCE:
                self._put_off[key] = self._put_off.get(key, 0) + 1
                return QUIET - quiet
        self._put_off.pop(key, None)
        if status is not None:
            try:
                # Holds only for the version that was counted against: a charge since then makes it a conflict.
                await self._client.update(RESOURCEQUOTAS, {**quota, "status": status}, "status")
            except ApiError as error:
                if is_conflict(error):
                    return QUIET
                if not is_not_found(error):
                    raise
        self._queue.add_after(key, RESYNC)
        return None

    async def _begin(self, quota: Object, abouts: Iterable[About]) -> Object:
        """Of a new quota, what can be counted is limited before anybody is asked about the rest: until its status says
        what is limited, admission lets everything pass."""
        at_hand = [each for each in abouts if each in self._informers and self._informers[each].has_synced]
        if (quota.get("status") or {}).get("hard") is not None or not at_hand or len(at_hand) == len(set(abouts)):
            return quota
        part = limiting(quota, at_hand)
        content = {each: self._informers[each].lister.list(objects.namespace(quota)) for each in at_hand}
        status = plan_status(part, compute_usage(part, content, self._clock.now()))
        try:
            return await self._client.update(RESOURCEQUOTAS, {**quota, "status": status}, "status")
        except ApiError as error:
            if is_conflict(error) or is_not_found(error):
                return quota
            raise

    async def _informer(self, about: About) -> Informer | None:
        """The informer of a resource that a quota names; None when nobody serves it."""
        if about not in self._informers:
            if about in self._unknown:
                return None
            served = await served_resources(self._client, "list", "watch")
            found = [each for each in served.resources if _is(each, about)]
            if not found and any(each.rpartition("/")[0] == about[0] for each in served.missing):
                return None  # its server is away: it is asked for again when the quota is counted next
            if not found:
                self._unknown.add(about)
                log.warning("%s: nothing is known of %s", NAME, ".".join(part for part in reversed(about) if part))
                return None
            informer = self._context.informers.get(found[0], transform=metadata_only)
            self._informers[about] = informer
            self._listen(about, informer)
        informer = self._informers[about]
        await informer.wait_synced()
        return informer

    def _listen(self, about: About, informer: Informer) -> None:
        freed = _FREED.get(about, _never)

        def changed(old: Object, new: Object) -> None:
            if freed(old, new, self._clock.now()):
                self._replenish(new)

        informer.add_handler(self._created, changed, self._replenish)

    def _created(self, obj: Object) -> None:
        for quota in self._quotas.list(objects.namespace(obj)):
            self._queue.add_after(objects.key(quota), RECHECK)

    def _replenish(self, obj: Object) -> None:
        for quota in self._quotas.list(objects.namespace(obj)):
            self._queue.add(objects.key(quota))

    def _quota_added(self, quota: Object) -> None:
        self._unknown.clear()  # perhaps it is served by now
        self._queue.add(objects.key(quota))

    def _quota_changed(self, old: Object, new: Object) -> None:
        key, state = objects.key(new), new.get("status") or {}
        if (new.get("spec") or {}) != (old.get("spec") or {}) or state.get("hard") is None:
            self._unknown.clear()
            self._queue.add(key)
        elif state.get("used") != (old.get("status") or {}).get("used"):
            self._changed[key] = self._clock.monotonic()
            self._queue.add_after(key, RECHECK)

    def _quota_gone(self, quota: Object) -> None:
        key = objects.key(quota)
        self._changed.pop(key, None)
        self._put_off.pop(key, None)


def _is(resource: Resource, about: About) -> bool:
    return resource.namespaced and (resource.group, resource.plural) == about


def _never(old: Object, new: Object, now: datetime) -> bool:
    return False


def _pod_ended(old: Object, new: Object, now: datetime) -> bool:
    return is_counted(old, now) and not is_counted(new, now)


def _spec_changed(old: Object, new: Object, now: datetime) -> bool:
    return bool(old.get("spec") != new.get("spec"))


_FREED: dict[About, Callable[[Object, Object, datetime], bool]] = {
    ("", "pods"): _pod_ended,
    ("", "services"): _spec_changed,
    ("", "persistentvolumeclaims"): _spec_changed,
}
"""Which updates may free what was used."""
