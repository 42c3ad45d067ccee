"""The order of admission: every mutating plug-in, then every validating one, fail closed."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct, field

from apimachinery.api.catalogue import Resource
from apimachinery.kit.trace import current
from apimachinery.meta import status
from controlplane.apiserver.admission import observed
from controlplane.apiserver.registry.call import Call

log = logging.getLogger(__name__)

Object = dict[str, Any]
About = tuple[str, str]
"""The group and plural of a resource."""

_CHANGES_MAX, _CHANGE_MAX = 64, 200  # of one round; characters of one
_FAILED = "This request caused apiserver to panic. Look in the logs for details."


class Reinvocation(Struct):
    """Whether the mutating plug-ins are to run again, because a webhook changed the object, and what each remembers.

    `running`: this is the second round.
    """

    asked: bool = False
    running: bool = False
    memory: dict[str, Any] = field(default_factory=dict)


class Review(Struct):
    """What a plug-in is asked about. operation: CREATE, UPDATE, DELETE or CONNECT.

    `new` is None on DELETE; `old` None on CREATE and CONNECT. A mutating plug-in changes `new` in place. `options`:
    the options of the request as an object (DeleteOptions of a DELETE, …). Both objects are of the stored version,
    or, when `kind` is set, of that kind (a Binding, PodExecOptions).

    plugin: who is being asked. told: what each changed, as `tell` was told.
    """

    call: Call
    operation: str
    new: Object | None
    old: Object | None = None
    options: Mapping[str, Any] | None = None
    kind: tuple[str, str, str] | None = None
    reinvocation: Reinvocation = field(default_factory=Reinvocation)
    plugin: str = ""
    told: list[tuple[str, str]] = field(default_factory=list)

    def tell(self, *changes: str, by: str = "") -> None:
        """Let `kubelab trace` say what was changed: `spec.priority: 0`, `+spec.volumes[NAME]`, `-spec.taints[KEY]`.

        by: the plug-in that is being asked, when not given. Bounded, for the trace keeps it."""
        self.told += [(by or self.plugin, change[:_CHANGE_MAX]) for change in changes[: _CHANGES_MAX - len(self.told)]]

    @property
    def resource(self) -> Resource:
        """The resource asked for, in the version asked for."""
        return self.call.resource

    @property
    def name(self) -> str:
        """The object's name; "" while it has none."""
        return self.call.name or ((self.new or self.old or {}).get("metadata") or {}).get("name") or ""

    @property
    def namespace(self) -> str:
        """The object's namespace; a Namespace is in itself."""
        if self.call.resource.plural == "namespaces" and not self.call.resource.group:
            return self.name
        return self.call.namespace

    def is_for(self, group: str, plural: str, *subresources: str) -> bool:
        """Whether it is about that resource, and one of those subresources ("" is the object itself)."""
        resource = self.call.resource
        return (
            resource.group == group and resource.plural == plural and self.call.subresource in (subresources or ("",))
        )

    def forbidden(self, detail: str) -> status.ApiError:
        """The refusal of a plug-in (admission.NewForbidden)."""
        generated = ((self.new or {}).get("metadata") or {}).get("generateName")
        return status.forbidden(self.call.resource, self.name or generated or "Unknown", detail)


class Plugin:
    """An admission plug-in; each may mutate, validate or both. What it changes, it tells the review.

    `about`: the only resources it looks at; None for all of them.
    """

    name: ClassVar[str] = ""
    about: ClassVar[frozenset[About] | None] = None

    async def mutate(self, review: Review) -> None:
        """Change `review.new`. Raises ApiError to refuse."""

    async def validate(self, review: Review) -> None:
        """Raises ApiError to refuse."""


Step = tuple[str, Callable[[Review], Awaitable[None]]]


class Steps:
    """The plug-ins that are asked about one resource in one round. type: admit or validate."""

    def __init__(self, each: list[Step], type: str) -> None:
        self.each, self.names, self.type = each, [name for name, _ in each], type


class Chain:
    """The enabled plug-ins, in upstream's order. A plug-in that fails in any other way than by a refusal refuses."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._plugins = plugins
        self._steps: dict[About, tuple[Steps, Steps]] = {}

    async def mutate(self, review: Review) -> None:
        """Let every plug-in change `review.new`; twice where a webhook asks for it. Raises ApiError."""
        steps, _ = self._for(review)
        await _run(steps, review, "mutating")
        if review.reinvocation.asked:
            review.reinvocation.running = True
            await _run(steps, review, "mutating again")

    async def validate(self, review: Review) -> None:
        """Raises the first plug-in's ApiError."""
        _, steps = self._for(review)
        await _run(steps, review, "validating")

    async def admit(self, call: Call, obj: Object, kind: tuple[str, str, str]) -> None:
        """A creation of something that is not stored: a Binding, an Eviction, a TokenRequest. Raises ApiError."""
        review = Review(call, "CREATE", obj, kind=kind)
        await self.mutate(review)
        await self.validate(review)

    def _for(self, review: Review) -> tuple[Steps, Steps]:
        about = review.call.resource.group, review.call.resource.plural
        found = self._steps.get(about)
        if found is None:
            here = [each for each in self._plugins if each.about is None or about in each.about]
            mutating: list[Step] = [(each.name, each.mutate) for each in here if type(each).mutate is not Plugin.mutate]
            validating: list[Step] = [
                (each.name, each.validate) for each in here if type(each).validate is not Plugin.validate
            ]
            found = self._steps[about] = Steps(mutating, "admit"), Steps(validating, "validate")
        return found


class _Admitted(Struct, gc=False, omit_defaults=True):
    """What the trace keeps of one round. refused: with what words, by: which plug-in."""

    round: str
    plugins: list[str]
    seconds: float
    refused: str | None = None
    by: str | None = None
    changes: list[tuple[str, str]] | None = None


async def _run(steps: Steps, review: Review, round: str) -> None:
    if (trace := current()) is None:
        await _run_all(steps, review)
        return
    began, refused, by = trace.now(), None, None
    try:
        await _run_all(steps, review)
    except status.ApiError as error:
        refused, by = error.message, review.plugin
        raise
    finally:
        detail = _Admitted(round, steps.names, trace.now() - began, refused, by)
        if review.told:
            detail.changes, review.told = review.told, []
        trace.note("admitted", review.resource.group_resource, review.name, "", detail)


async def _run_all(steps: Steps, review: Review) -> None:
    """Ask one after another, and keep account of how long each takes."""
    asked, operation, clock = steps.type, review.operation, time.perf_counter
    first = began = clock()
    rejected = "true"
    try:
        for name, step in steps.each:
            review.plugin = name
            await _ask(name, step, review)
            now = clock()
            observed.PLUGINS.labels(name, asked, operation, "false").observe(now - began)
            began = now
        rejected = "false"
    except status.ApiError:
        observed.PLUGINS.labels(review.plugin, asked, operation, rejected).observe(clock() - began)
        raise
    finally:
        observed.STEPS.labels(asked, operation, rejected).observe(clock() - first)


async def _ask(name: str, step: Callable[[Review], Awaitable[None]], review: Review) -> None:
    try:
        await step(review)
    except status.ApiError:
        raise
    except Exception:
        log.exception("admission plug-in %s failed, so the request is refused", name)
        raise status.ApiError(500, "InternalError", _FAILED) from None
