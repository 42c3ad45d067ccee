"""A control plane under attack: what it answered, what it wrote into its log, what it stored, how it grew."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.client.config import load_kubeconfig
from tests.hostile.run import Outcome, attacks, run
from tests.integration.process import ControlPlane

GROWTH = 40.0  # megabytes between a tenth of the way and its end; caches of schemas and of connections fill on the way
SPACE = "hostile"
# Written by the control plane itself all the time.
_ALIVE = ("leases", "events", "endpointslices", "endpoints")


def attacked(plane: ControlPlane, count: int, seed: int) -> tuple[Outcome, list[str]]:
    """What came of `count` attacks, and everything that should not have."""
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": SPACE}})
    plane.kubectl("wait", "--for=create", "serviceaccount/default", "-n", SPACE, "--timeout=20s")
    plane.kubectl("wait", "--for=create", "configmap/kube-root-ca.crt", "-n", SPACE, "--timeout=20s")
    plane.request("POST", f"/api/v1/namespaces/{SPACE}/configmaps", {"metadata": {"name": "held"}, "data": {"a": "b"}})
    before = stored(plane)
    tls = load_kubeconfig(plane.kubeconfig).ssl_context()
    assert tls is not None
    outcome = run(attacks(SPACE, count, seed), count, plane.port, tls, plane.memory)
    problems = [f"{name}: {wrong}" for name, wrong in outcome.findings]
    if not plane.alive:
        return outcome, [*problems, "the server has died"]
    if "Traceback" in plane.log:
        problems.append(f"a traceback in the log: …{plane.log.partition('Traceback')[2][:3000]}")
    after = stored(plane)
    problems += [f"stored or changed: {key}" for key in sorted(after.items() ^ before.items())]
    early, late = outcome.memory
    if late - early > GROWTH:
        problems.append(f"memory grew from {early:.0f} to {late:.0f} MB")
    return outcome, problems


def stored(plane: ControlPlane) -> dict[str, str]:
    """Every object there is, by its path, with its resourceVersion."""
    found: dict[str, str] = {}
    for resource in CATALOGUE:
        if "list" not in resource.verbs or resource.plural in _ALIVE or "create" not in resource.verbs:
            continue
        listed: Any = plane.request("GET", resource.path()).json
        for item in listed["items"]:
            meta = item["metadata"]
            key = f"{resource.group}/{resource.plural}/{meta.get('namespace', '')}/{meta['name']}"
            found[key] = meta["resourceVersion"]
    return found
