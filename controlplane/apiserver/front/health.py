"""/healthz, /livez and /readyz: every check, one check, all but some (k8s.io/apiserver/pkg/server/healthz)."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from apimachinery.kit import slis
from controlplane.apiserver.front import responses

log = logging.getLogger(__name__)

Check = Callable[[], Awaitable[None]]
"""Raises when what it looks at is unwell; the text says why."""

PATHS = ("healthz", "livez", "readyz")
_ONLY_READY = frozenset({"etcd-readiness", "informer-sync", "shutdown"})
_NOT_LIVE = frozenset({"kms-providers"})  # a restart mends no plug-in
RELOAD_HOOK = "start-encryption-provider-config-automatic-reload"
"""There if it was asked for."""
_COMPLETED = "autoregister-completion"
# What upstream's server says of its parts, in its order; ours are all there before it is ready.
_HOOKS = (
    "start-apiserver-admission-initializer",
    "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer",
    "priority-and-fairness-filter",
    "max-in-flight-filter",
    "storage-object-count-tracker-hook",
    "start-apiextensions-informers",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "start-system-namespaces-controller",
    "start-cluster-authentication-info-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
    "start-legacy-token-tracking-controller",
    "start-service-ip-repair-controllers",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer",
    "bootstrap-controller",
    "aggregator-reload-proxy-client-cert",
    "start-kube-aggregator-informers",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-registration-controller",
    "apiservice-discovery-controller",
    "kube-apiserver-autoregistration",
    _COMPLETED,
    "apiservice-openapi-controller",
    "apiservice-openapiv3-controller",
)


def started_parts(*, fairness: bool, identity: bool = True, proxying: bool = True) -> list[str]:
    """The checks of what has to be done before the server is ready. fairness: whether requests wait for seats;
    identity: whether the server says by a Lease that it is there (the gate APIServerIdentity); proxying: whether it
    shows a certificate to the servers behind it."""
    left_out = ["max-in-flight-filter" if fairness else "priority-and-fairness"]
    left_out += [] if identity else ["start-kube-apiserver-identity"]
    left_out += [] if proxying else ["aggregator-reload-proxy-client-cert"]
    hooks = (hook for hook in _HOOKS if not hook.startswith(tuple(left_out)))
    return [hook if hook == _COMPLETED else f"poststarthook/{hook}" for hook in hooks]


async def serve_health(request: web.BaseRequest, path: str, checks: Mapping[str, Check]) -> web.Response:
    """The answer to a path such as /readyz or /livez/etcd. Anybody may ask, so why a check fails goes to the log."""
    name, _, one = path.strip("/").partition("/")
    others = {"readyz": frozenset[str](), "healthz": _ONLY_READY}.get(name, _ONLY_READY | _NOT_LIVE)
    chosen = {check: run for check, run in checks.items() if check not in others}
    if one:
        return await _one(one, name, chosen)
    excluded = set(request.query.getall("exclude", []))
    lines, failed = [], []
    for check, run in chosen.items():
        if check in excluded:
            excluded.discard(check)
            lines.append(f"[+]{check} excluded: ok")
            continue
        try:
            await _run(check, name, run)
            lines.append(f"[+]{check} ok")
        except Exception as error:
            failed.append(f"[-]{check} failed: {error}")
            lines.append(f"[-]{check} failed: reason withheld")
    if excluded:
        quoted = ",".join(json.dumps(each) for each in sorted(excluded))
        lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
    if failed:
        log.info("%s check failed: %s", name, "; ".join(failed))
        return responses.text("\n".join([*lines, f"{name} check failed", ""]), 500)
    if "verbose" in request.query:
        return responses.text("\n".join([*lines, f"{name} check passed", ""]))
    return responses.text("ok")


async def _one(check: str, name: str, checks: Mapping[str, Check]) -> web.Response:
    if check not in checks:
        return responses.text("404 page not found\n", 404)
    try:
        await checks[check]()
    except Exception as error:
        return responses.text(f"internal server error: {error}\n", 500)
    return responses.text("ok")


async def _run(check: str, name: str, run: Check) -> None:
    well = False
    try:
        await run()
        well = True
    finally:
        slis.observe(check, name, well=well)
