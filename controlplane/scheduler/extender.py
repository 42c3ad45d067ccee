"""Extenders: others who are asked over HTTP which nodes a pod may go to, which it likes, whom to evict, and to bind it.

Upstream's pkg/scheduler/extender.go and k8s.io/kube-scheduler/extender/v1: JSON by POST to `urlPrefix/verb`. Its fields
are named as in Go (`NodeNames`), except within pods and nodes. They are asked after our own rules, one after the other,
and hold up other decisions meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from base64 import b64decode
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from apimachinery.meta import pods
from controlplane.scheduler.config_extenders import ExtenderConfig
from controlplane.scheduler.framework import MAX_SCORE, Verdict
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.preemption import Victims

log = logging.getLogger(__name__)

Object = dict[str, Any]

#: Stands for all of them among the plugins that refused a pod: any change may help.
NAME = "Extender"
_MAX_PRIORITY = 10


class ExtenderFailed(Exception):
    """One that may not be left out gave no answer, or one that makes no sense."""


class Extender:
    """One of them. Every question raises ExtenderFailed."""

    def __init__(self, config: ExtenderConfig, session: aiohttp.ClientSession) -> None:
        self.config, self._session = config, session
        self._tls = _context(config)

    def interested(self, pod: PodInfo) -> bool:
        """Whether the pod asks for one of the resources that it manages, if it says which."""
        managed = self.config.managed
        return not managed or any(
            name in managed
            for container in pods.containers(pod.pod)
            for kind in ("requests", "limits")
            for name in (container.get("resources") or {}).get(kind) or ()
        )

    async def filter(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> tuple[list[NodeInfo], dict[str, Verdict]]:
        """The nodes that it leaves, and why not the others, as far as it says."""
        answer = await self._ask(self.config.filter_verb, self._question(pod, nodes))
        _raise_error(answer)
        by_name = {node.name: node for node in nodes}
        named = _said(answer, "NodeNames")
        if self.config.knows_nodes and named is not None:
            names = list(named)
        else:
            names = [node["metadata"]["name"] for node in (_said(answer, "Nodes") or {}).get("items") or ()]
        for name in names:
            if name not in by_name:
                told = f'extender "{self.config.url}" claims a filtered node "{name}" which is not found in the input'
                raise ExtenderFailed(f"{told} node list")
        refused = {name: Verdict(NAME, (str(why),)) for name, why in (_said(answer, "FailedNodes") or {}).items()}
        for name, why in (_said(answer, "FailedAndUnresolvableNodes") or {}).items():
            refused[name] = Verdict(NAME, (str(why),), resolvable=False)
        return [by_name[name] for name in names], refused

    async def prioritize(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> dict[str, int]:
        """What it adds to the total score of nodes; it counts from 0 to 10, times its weight."""
        answer = await self._ask(self.config.prioritize_verb, self._question(pod, nodes))
        factor = self.config.weight * (MAX_SCORE // _MAX_PRIORITY)
        return {str(_said(one, "Host")): int(_said(one, "Score") or 0) * factor for one in answer or ()}

    async def preempt(
        self, pod: PodInfo, candidates: Sequence[Victims], nodes: Mapping[str, NodeInfo]
    ) -> list[Victims]:
        """The candidates that it leaves, perhaps with other victims. One without victims is an error, and left out
        where the extender may be."""
        question: Object = {"Pod": pod.pod, "NodeNameToVictims": None, "NodeNameToMetaVictims": None}
        if self.config.knows_nodes:
            question["NodeNameToMetaVictims"] = {
                one.node: {"Pods": [{"UID": each.uid} for each in one.pods], "NumPDBViolations": one.violations}
                for one in candidates
            }
        else:
            question["NodeNameToVictims"] = {
                one.node: {"Pods": [each.pod for each in one.pods], "NumPDBViolations": one.violations}
                for one in candidates
            }
        answer = await self._ask(self.config.preempt_verb, question)
        found = []
        for name, victims in (_said(answer, "NodeNameToMetaVictims") or {}).items():
            there = nodes[name].pods if name in nodes else {}
            uids = [str(_said(each, "UID")) for each in _said(victims, "Pods") or ()]
            if not uids and self.config.ignorable:
                log.info("skipping node %s, for which extender %s named no victims", name, self.config.url)
                continue
            if not uids:
                raise ExtenderFailed(f'expected at least one victim pod on node "{name}"')
            for uid in uids:
                if uid not in there:
                    told = f"extender: {self.config.url} claims to preempt pod (UID: {uid}) on node: {name}"
                    raise ExtenderFailed(f"{told}, but the pod is not found on that node")
            violations = int(_said(victims, "NumPDBViolations") or 0)
            found.append(Victims(name, tuple(there[uid] for uid in uids), violations))
        return found

    async def bind(self, pod: PodInfo, node: str) -> None:
        """Let it bind the pod."""
        question = {"PodName": pod.name, "PodNamespace": pod.namespace, "PodUID": pod.uid, "Node": node}
        _raise_error(await self._ask(self.config.bind_verb, question))

    def _question(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> Object:
        if self.config.knows_nodes:
            return {"Pod": pod.pod, "Nodes": None, "NodeNames": [node.name for node in nodes]}
        return {"Pod": pod.pod, "Nodes": {"metadata": {}, "items": [node.node for node in nodes]}, "NodeNames": None}

    async def _ask(self, verb: str, question: Object) -> Any:
        url = f"{self.config.url}/{verb}"
        headers, timeout = {"Content-Type": "application/json"}, aiohttp.ClientTimeout(self.config.timeout)
        try:
            async with self._session.post(
                url, data=orjson.dumps(question), headers=headers, timeout=timeout, ssl=self._tls
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ExtenderFailed(f'Post "{url}": {error or type(error).__name__}') from error
        if response.status != 200:
            raise ExtenderFailed(f"failed {verb} with extender at URL {url}, code {response.status}")
        try:
            return orjson.loads(body)
        except ValueError as error:
            raise ExtenderFailed(f"{verb} with extender at URL {url}: {error}") from error


class Extenders:
    """All of them, in their order. Use as `async with Extenders(configs) as extenders`."""

    def __init__(self, configs: Sequence[ExtenderConfig]) -> None:
        self._configs = configs
        self._all: tuple[Extender, ...] = ()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        if self._configs:
            self._session = session = aiohttp.ClientSession(headers={"User-Agent": "kube-scheduler"})
            self._all = tuple(Extender(config, session) for config in self._configs)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def concern(self, pod: PodInfo) -> bool:
        """Whether any wants to be asked about the pod."""
        return any(each.interested(pod) for each in self._all)

    async def bind(self, pod: PodInfo, node: str) -> bool:
        """Have the pod bound by the one who does that instead of us; False when nobody did. Raises ExtenderFailed."""
        for each in self._all:
            if each.config.bind_verb and each.interested(pod):
                try:
                    await each.bind(pod, node)
                except ExtenderFailed as error:
                    _leave_out(each, error)
                else:
                    return True
        return False

    async def filter(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> tuple[list[NodeInfo], dict[str, Verdict]]:
        """What every one of them leaves, and why not the others. Raises ExtenderFailed."""
        left, refused = list(nodes), dict[str, Verdict]()
        for each in self._all:
            if not left:
                break
            if each.config.filter_verb and each.interested(pod):
                try:
                    left, why = await each.filter(pod, left)
                except ExtenderFailed as error:
                    _leave_out(each, error)
                else:
                    refused |= why
        return left, refused

    async def prioritize(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> dict[str, int]:
        """What they add to the scores, all asked at once; one that fails adds nothing."""
        asked = [each for each in self._all if each.config.prioritize_verb and each.interested(pod)]
        added: dict[str, int] = {}
        for answer in await asyncio.gather(*(each.prioritize(pod, nodes) for each in asked), return_exceptions=True):
            if isinstance(answer, ExtenderFailed):
                log.warning("%s: %s", pod.key, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                for name, score in answer.items():
                    added[name] = added.get(name, 0) + score
        return added

    async def preempt(self, pod: PodInfo, candidates: list[Victims], nodes: Mapping[str, NodeInfo]) -> list[Victims]:
        """What every one of them leaves of the candidates. Raises ExtenderFailed."""
        for each in self._all:
            if candidates and each.config.preempt_verb and each.interested(pod):
                try:
                    candidates = await each.preempt(pod, candidates, nodes)
                except ExtenderFailed as error:
                    _leave_out(each, error)
        return candidates


def _said(answer: Mapping[str, Any] | None, name: str) -> Any:
    """A field of an answer, None where it is missing. The case of its letters does not matter, as to Go's decoder."""
    return next((value for key, value in (answer or {}).items() if key.lower() == name.lower()), None)


def _raise_error(answer: Mapping[str, Any] | None) -> None:
    if error := _said(answer, "Error"):
        raise ExtenderFailed(str(error))


def _leave_out(extender: Extender, error: ExtenderFailed) -> None:
    if not extender.config.ignorable:
        raise error
    log.info("skipping extender %s, which may be left out: %s", extender.config.url, error)


def _context(config: ExtenderConfig) -> ssl.SSLContext | bool:
    """TLS towards it; as upstream, without an authority a server is believed that is said to speak HTTPS."""
    if not config.url.startswith("https://"):
        return True
    said = config.tls
    authority = b64decode(said["caData"]).decode() if said.get("caData") else None
    context = ssl.create_default_context(cafile=said.get("caFile"), cadata=authority)
    if said.get("insecure") or (config.https and not (authority or said.get("caFile"))):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if said.get("certFile"):
        context.load_cert_chain(said["certFile"], said.get("keyFile"))
    return context
