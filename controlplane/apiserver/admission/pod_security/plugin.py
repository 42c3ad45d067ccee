"""PodSecurity: pods, their workloads and namespaces against the Pod Security Standards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from apimachinery.meta import status
from apimachinery.meta.paths import Problem, aggregate
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.admission.lookup import Lookup
from controlplane.apiserver.admission.pod_security.evaluate import details, evaluate, reasons
from controlplane.apiserver.admission.pod_security.policy import (
    PREFIX,
    PRIVILEGED,
    LevelVersion,
    Policy,
    policy_of,
    stricter,
)
from controlplane.apiserver.registry.store import ObjectStore

Object = dict[str, Any]

MAX_PODS = 3000
"""Pods of a namespace that are looked at when its level changes."""

_TEMPLATES = {
    ("", "replicationcontrollers"): ("spec", "template"),
    ("", "podtemplates"): ("template",),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
_IGNORED = frozenset({"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"})
_SECTIONS = ("containers", "initContainers")


class Configuration(Struct, frozen=True):
    """PodSecurityConfiguration: what unlabelled namespaces get, and who is exempt."""

    defaults: Policy = field(default_factory=Policy)
    usernames: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


class PodSecurity(Plugin):
    """plugin/pkg/admission/security/podsecurity."""

    name = "PodSecurity"
    about = frozenset({("", "pods"), ("", "namespaces"), *_TEMPLATES})

    def __init__(self, namespaces: Lookup, pods: ObjectStore, configuration: Configuration) -> None:
        self._namespaces, self._pods, self._configuration = namespaces, pods, configuration

    async def validate(self, review: Review) -> None:
        if review.operation not in ("CREATE", "UPDATE"):
            return
        match review.resource.group, review.resource.plural:
            case "", "namespaces":
                if not review.call.subresource:
                    await self._namespace(review)
            case "", "pods":
                if review.call.subresource not in _IGNORED:
                    await self._pod(review)
            case _:
                if not review.call.subresource:
                    await self._workload(review)

    async def _namespace(self, review: Review) -> None:
        assert review.new is not None
        name, labels = review.name, review.new["metadata"].get("labels")
        policy, problems = policy_of(labels, self._configuration.defaults)
        exempt = name in self._configuration.namespaces
        if review.operation == "CREATE":
            if problems:
                raise status.invalid("Namespace", name, problems)
        else:
            assert review.old is not None
            before, known = policy_of(review.old["metadata"].get("labels"), self._configuration.defaults)
            if problems and problems != known:
                raise status.invalid("Namespace", name, problems)
            new, old = policy.enforce, before.enforce
            if new == old or new.level == PRIVILEGED or (new.minor == old.minor and not stricter(new.level, old.level)):
                return
        if exempt:
            self._warn_exempt(review, policy, labels or {})
        elif review.operation == "UPDATE":
            for sentence in await self._violations(name, policy.enforce):
                review.call.warn(sentence)

    def _warn_exempt(self, review: Review, policy: Policy, labels: Mapping[str, str]) -> None:
        if policy.fully_privileged or policy.equivalent(self._configuration.defaults):
            return
        said = [
            f"{mode}={wanted}"
            for mode, wanted in (("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn))
            if wanted.level != PRIVILEGED and (PREFIX + mode in labels or f"{PREFIX}{mode}-version" in labels)
        ]
        review.call.warn(
            f'namespace "{review.name}" is exempt from Pod Security, and the policy ({", ".join(said)}) will be ignored'
        )

    async def _violations(self, namespace: str, policy: LevelVersion) -> list[str]:
        pods = self._most_different_first(await self._pods.all(namespace))
        found: dict[str, list[str]] = {}
        for pod in pods[:MAX_PODS]:
            refusals = evaluate(policy, pod["metadata"], pod["spec"])
            if refusals:
                found.setdefault(reasons(refusals), []).append(pod["metadata"]["name"])
        sentences = []
        if len(pods) > MAX_PODS:
            sentences.append(
                f"new PodSecurity enforce level only checked against the first {MAX_PODS} of {len(pods)} existing pods"
            )
        if found:
            sentences.append(
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{policy}"'
            )
        more = {0: "", 1: " (and 1 other pod)"}
        return sentences + sorted(
            f"{min(names)}{more.get(len(names) - 1, f' (and {len(names) - 1} other pods)')}: {reason}"
            for reason, names in found.items()
        )

    def _most_different_first(self, pods: list[Object]) -> list[Object]:
        """Without exempt runtime classes; the first pod of every controller before its equals."""
        first: list[Object] = []
        alike: list[Object] = []
        seen: set[str | None] = set()
        for pod in pods:
            if pod["spec"].get("runtimeClassName") in self._configuration.runtime_classes:
                continue
            owners = pod["metadata"].get("ownerReferences") or ()
            owner = next((each["uid"] for each in owners if each.get("controller")), None)
            (alike if owner in seen and owner else first).append(pod)
            seen.add(owner)
        return first + alike

    async def _pod(self, review: Review) -> None:
        if self._exempt(review):
            return
        policy, problems = await self._policy(review)
        if not problems and policy.fully_privileged:
            _audit(review, "enforce-policy", f"{PRIVILEGED}:latest")
            return
        pod = review.new
        assert pod is not None
        if (
            review.operation == "UPDATE"
            and review.old is not None
            and not _significant(pod["spec"], review.old["spec"])
        ):
            return
        self._evaluate(review, policy, problems, pod["metadata"], pod["spec"], enforce=True)

    async def _workload(self, review: Review) -> None:
        if self._exempt(review):
            return
        policy, problems = await self._policy(review)
        if not problems and policy.warn.level == policy.audit.level == PRIVILEGED:
            return
        template: Any = review.new
        for step in _TEMPLATES[review.resource.group, review.resource.plural]:
            template = (template or {}).get(step)
        if template:
            spec, meta = template.get("spec") or {}, template.get("metadata") or {}
            self._evaluate(review, policy, problems, meta, spec, enforce=False)

    def _exempt(self, review: Review) -> bool:
        for word, exempt in (
            ("namespace", review.namespace in self._configuration.namespaces),
            ("user", review.call.user.name in self._configuration.usernames),
        ):
            if exempt:
                _audit(review, "exempt", word)
                return True
        return False

    async def _policy(self, review: Review) -> tuple[Policy, list[Problem]]:
        await self._namespaces.ready(review)
        namespace = await self._namespaces.find("", review.namespace)
        if namespace is None:
            raise status.internal(f'failed to lookup namespace "{review.namespace}"')
        return policy_of(namespace["metadata"].get("labels"), self._configuration.defaults)

    def _evaluate(
        self,
        review: Review,
        policy: Policy,
        problems: list[Problem],
        meta: Mapping[str, Any],
        spec: Mapping[str, Any],
        *,
        enforce: bool,
    ) -> None:
        if spec.get("runtimeClassName") and spec["runtimeClassName"] in self._configuration.runtime_classes:
            _audit(review, "exempt", "runtimeClass")
            return
        if problems:
            _audit(review, "error", f"Failed to parse policy: {aggregate(problems)}")
        if refusals := evaluate(policy.audit, meta, spec):
            text = f'would violate PodSecurity "{policy.audit}": {details(refusals)}'
            _audit(review, "audit-violations", text)
        if enforce:
            _audit(review, "enforce-policy", str(policy.enforce))
            if refusals := evaluate(policy.enforce, meta, spec):
                raise review.forbidden(f'violates PodSecurity "{policy.enforce}": {details(refusals)}')
        if refusals := evaluate(policy.warn, meta, spec):
            review.call.warn(f'would violate PodSecurity "{policy.warn}": {details(refusals)}')


def _audit(review: Review, key: str, value: str) -> None:
    review.call.annotate(PREFIX + key, value)


def _significant(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether an update of a pod may have changed what its level forbids: other images, or other containers."""
    for section in _SECTIONS:
        before, after = ([each.get("image") for each in spec.get(section) or ()] for spec in (old, new))
        if before != after:
            return True
    images = {each["name"]: each.get("image") for each in old.get("ephemeralContainers") or ()}
    return any(images.get(each["name"]) != each.get("image") for each in new.get("ephemeralContainers") or ())
