"""Who else is asked over HTTP (KubeSchedulerConfiguration.extenders), with upstream's sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apimachinery.meta import names
from controlplane.scheduler.config_fields import Fields

_TIMEOUT = 5.0  # seconds, upstream's DefaultExtenderTimeout
_FIELDS = (
    "urlPrefix", "filterVerb", "preemptVerb", "prioritizeVerb", "weight", "bindVerb", "enableHTTPS", "tlsConfig",
    "httpTimeout", "nodeCacheCapable", "managedResources", "ignorable",
)  # fmt: skip
_TLS = ("insecure", "certFile", "keyFile", "caFile", "caData")


@dataclass(frozen=True, slots=True)
class ExtenderConfig:
    """One extender. A verb is the last part of a path; an empty one is not asked for.

    timeout: seconds of one question. knows_nodes: it is told names, not nodes (nodeCacheCapable). managed: resources
    for whose pods it is asked, for all when empty. ignored: those of them that our own rules leave to it. ignorable:
    where it does not answer, it is left out. tls: tlsConfig as it stands in the file.
    """

    url: str
    filter_verb: str = ""
    prioritize_verb: str = ""
    preempt_verb: str = ""
    bind_verb: str = ""
    weight: int = 1
    https: bool = False
    timeout: float = _TIMEOUT
    knows_nodes: bool = False
    managed: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    ignorable: bool = False
    tls: Mapping[str, Any] = field(default_factory=dict)


def read_extenders(fields: Fields, said: Mapping[str, Any]) -> tuple[ExtenderConfig, ...]:
    """The extenders of a configuration; at most one of them binds, and each resource is managed by one."""
    seen: set[str] = set()
    found = tuple(_extender(fields, where, one, seen) for where, one in fields.objects("extenders", said))
    binders = sum(1 for one in found if one.bind_verb)
    if binders > 1:
        told = f"found {binders} extenders implementing bind"
        fields.problems.add("extenders", f'Invalid value: "{told}": only one extender can implement bind')
    return found


def _extender(fields: Fields, path: str, said: Mapping[str, Any], seen: set[str]) -> ExtenderConfig:
    from apimachinery.api.validation.checks import is_extended_resource  # only who has a file needs it

    fields.only(path, said, _FIELDS)
    tls = fields.object("tlsConfig", said, path)
    fields.only(f"{path}.tlsConfig", tls, _TLS, unsupported=("serverName", "certData", "keyData"))
    url, https = fields.text("urlPrefix", said, path), fields.switch("enableHTTPS", said, path)
    if not url.startswith(("http://", "https://")):
        fields.problems.add(f"{path}.urlPrefix", f'Invalid value: "{url}": must be an http or https URL')
    prioritize = fields.text("prioritizeVerb", said, path)
    weight = fields.number("weight", said, -(2**63), 2**63 - 1, path)
    if prioritize and weight <= 0:
        fields.problems.add(f"{path}.weight", f"Invalid value: {weight}: must have a positive weight applied to it")
    managed: dict[str, bool] = {}
    for where, one in fields.objects("managedResources", said, path):
        fields.only(where, one, ("name", "ignoredByScheduler"))
        name = fields.text("name", one, where)
        wrong = names.qualified_name(name)
        if not wrong and not is_extended_resource(name):
            wrong = ["is an invalid extended resource name"]
        for sentence in wrong:
            fields.problems.add(f"{where}.name", f'Invalid value: "{name}": {sentence}')
        if name in seen:
            told = "duplicate extender managed resource name"
            fields.problems.add(f"{where}.name", f'Invalid value: "{name}": {told}')
        seen.add(name)
        managed[name] = fields.switch("ignoredByScheduler", one, where)
    return ExtenderConfig(
        url=url.rstrip("/"),
        filter_verb=fields.text("filterVerb", said, path),
        prioritize_verb=prioritize,
        preempt_verb=fields.text("preemptVerb", said, path),
        bind_verb=fields.text("bindVerb", said, path),
        weight=weight,
        https=https,
        timeout=fields.seconds("httpTimeout", said, path, default=_TIMEOUT),
        knows_nodes=fields.switch("nodeCacheCapable", said, path),
        managed=frozenset(managed),
        ignored=frozenset(name for name, ignored in managed.items() if ignored),
        ignorable=fields.switch("ignorable", said, path),
        tls=tls,
    )
