"""Steps on the cluster: the API answers, addons, Nodes Ready, DNS answers."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import yaml

from apimachinery.api.catalogue import CATALOGUE, NODES, PODS, Resource
from apimachinery.client.config import load_kubeconfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.meta.status import ApiError, is_not_found
from apimachinery.meta.taints import UNINITIALIZED
from provisioner.content import VENV_PYTHON
from provisioner.context import Context
from provisioner.digests import CONTROL_PLANE, NODE_AGENT, code_digest, text_digest
from provisioner.errors import LabError, StepFailed, Stopped
from provisioner.manifests import STATIC_PODS, image
from provisioner.rendering import render
from provisioner.spec import ControlPlane, Machine
from provisioner.steps.endings import Endings

Object = dict[str, Any]

#: Seconds. Emulated machines with static pods need some 60 to an answering API; ten times less with KVM.
API_DEADLINE, ADDONS_DEADLINE, NODES_DEADLINE, DNS_DEADLINE = 420.0, 90.0, 420.0, 300.0
_POLL = 0.25
_LOOK = 20.0  # seconds between looks at what may keep ending: each costs an emulated machine some of its start

#: Asks a DNS server (argument 1) for the A record of a name (argument 2), prints the addresses. Nothing but sockets.
_ASK_DNS = """
import socket, struct, sys
server, name = sys.argv[1:3]
question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\\0" + struct.pack(">HH", 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
try:
    s.sendto(struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question, (server, 53))
except PermissionError:  # kube-proxy rejects what goes to a Service without endpoints
    sys.exit("kube-dns has no ready endpoints yet")
answer = s.recv(4096)
count = struct.unpack(">H", answer[6:8])[0]
if count == 0:
    sys.exit(f"answer has code {answer[3] & 15} and no records")
print(socket.inet_ntoa(answer[-4:]))
"""


class ApiReady:
    """Wait for /readyz of the API server."""

    title = "API server"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        async def look(client: Client) -> str | None:
            await client.raw("GET", "/readyz")
            return None

        endings = Endings(context, context.lab.master)
        _wait(context, "api", "the API server is not ready", API_DEADLINE, look, context.lab.master, endings)


class ControlPlaneCurrent:
    """Wait until the static pods run the code that was just put there: the old ones answer until they are replaced."""

    title = "control plane"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        lab = context.lab
        # What no wait asks for may have failed as well: the registry.
        for master in lab.all_masters:
            if ended := Endings(context, master).look():
                advice = _advice(master, ended.name)
                raise StepFailed(master.name, "control-plane", ended.why, console=ended.lines, advice=advice)
        if lab.control_plane is ControlPlane.SERVICE:
            return
        code = code_digest(context.source, CONTROL_PLANE)
        names = [f"{component}-{master.name}" for master in lab.all_masters for component in STATIC_PODS]

        async def look(client: Client) -> str | None:
            pods = (await client.list(PODS, "kube-system", label_selector="tier=control-plane"))["items"]
            found = {pod["metadata"]["name"]: pod for pod in pods}
            return "; ".join(why for name in names if (why := why_not_current(name, found.get(name), code))) or None

        _wait(context, "control-plane", "the control plane is not whole", API_DEADLINE, look, lab.master)


class Addons:
    """Cluster roles, cluster-info (signed for bootstrap tokens by the controller manager), cluster DNS."""

    title = "addons"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return {"objects": text_digest(self._render(context))}

    def run(self, context: Context, changed: frozenset[str]) -> None:
        objects = [document for document in yaml.safe_load_all(self._render(context)) if document]

        async def apply(client: Client) -> str | None:
            for each in objects:
                await ensure_object(client, each)
            return None

        _wait(context, "addons", "the addons cannot be applied", ADDONS_DEADLINE, apply, context.lab.master)

    def _render(self, context: Context) -> str:
        code = code_digest(context.source, NODE_AGENT)
        authority = base64.b64encode((context.home.secrets / "pki" / "ca.crt").read_bytes()).decode()
        return render("addons.yaml.j2", lab=context.lab, image=image("dns"), code=code, authority=authority)


class MetricsServer:
    """The metrics API: applied once all else runs, so that it takes nothing from a lab that boots.

    Taken away from a lab that does not want it (any more).
    """

    title = "metrics server"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        wanted = context.lab.metrics_server
        return {"objects": text_digest(self._render(context)) if wanted else "none"}

    def run(self, context: Context, changed: frozenset[str]) -> None:
        objects = [document for document in yaml.safe_load_all(self._render(context)) if document]

        async def apply(client: Client) -> str | None:
            for each in objects:
                await (ensure_object if context.lab.metrics_server else ensure_gone)(client, each)
            return None

        _wait(context, "metrics", "metrics-server cannot be applied", ADDONS_DEADLINE, apply, context.lab.master)

    def _render(self, context: Context) -> str:
        code = code_digest(context.source, CONTROL_PLANE)
        return render("metrics-server.yaml.j2", image=image("control-plane"), code=code)


class NodesReady:
    """Wait until every machine is a Ready Node; name the masters' role as kubeadm does."""

    title = "nodes"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        machines = {machine.name: machine for machine in context.lab.machines}
        labels = {
            "node-role.kubernetes.io/control-plane": "",
            "node.kubernetes.io/exclude-from-external-load-balancers": "",
        }

        async def look(client: Client) -> str | None:
            nodes = {node["metadata"]["name"]: node for node in (await client.list(NODES))["items"]}
            for name, machine in machines.items():
                node = nodes.get(name)
                if node and machine.is_master and not labels.items() <= node["metadata"].get("labels", {}).items():
                    await client.patch(NODES, name, {"metadata": {"labels": labels}})
            reasons = {name: why_not_ready(nodes.get(name)) for name in machines}
            missing = [f"{name}: {reason}" for name, reason in reasons.items() if reason]
            context.notes.detail("lab", f"{len(machines) - len(missing)} of {len(machines)} Ready")
            return "; ".join(missing) or None

        _wait(context, "nodes", "not every Node is Ready", NODES_DEADLINE, look, context.lab.master)


def hand_to_cloud(context: Context) -> None:
    """Taint the Nodes that registered when the lab had no cloud, as their kubelets would do today: the cloud controller
    manager takes the taint off when it has told them what machine they are on."""

    async def taint(client: Client) -> str | None:
        for node in (await client.list(NODES))["items"]:
            spec = node.get("spec") or {}
            if spec.get("providerID") or any(each["key"] == UNINITIALIZED for each in spec.get("taints") or ()):
                continue
            wanted = [*(spec.get("taints") or ()), {"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}]
            # A list is replaced as a whole, so the write holds only for the version it was computed from.
            metadata = {"resourceVersion": node["metadata"]["resourceVersion"]}
            body: Object = {"metadata": metadata, "spec": {"taints": wanted}}
            await client.patch(NODES, node["metadata"]["name"], body)
        return None

    _wait(context, "cloud", "Nodes cannot be handed to the cloud", ADDONS_DEADLINE, taint, context.lab.master)


class DnsAnswers:
    """Wait until cluster DNS answers for ``kubernetes.default.svc`` on its ClusterIP, asked from the master."""

    title = "cluster DNS"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        lab = context.lab
        command = f"{VENV_PYTHON} -I -S - {lab.dns_ip} kubernetes.default.svc.{lab.dns_domain}"
        deadline = time.monotonic() + DNS_DEADLINE
        while True:
            result = context.shell(lab.master).run(command, _ASK_DNS.encode(), timeout=60.0, check=False)
            if result.code == 0 and result.text.strip() == lab.service_ip:
                return
            words = result.stderr.decode(errors="replace").strip().splitlines()
            reason = words[-1] if words else f"it answered {result.text.strip()!r}, not {lab.service_ip}"
            if time.monotonic() > deadline:
                why = f"{lab.dns_ip} does not answer for kubernetes.default.svc.{lab.dns_domain}: {reason}"
                advice = "kubelab kubectl -n kube-system describe pod -l k8s-app=kube-dns"
                raise StepFailed("lab", "dns", why, console=_cluster_lines(context), advice=advice)
            context.notes.detail("lab", reason)
            if context.stop.wait(1.0):
                raise Stopped()


def why_not_current(name: str, pod: Object | None, code: str) -> str | None:
    """``None`` for a Ready pod that runs ``code``, otherwise the reason in a few words."""
    if pod is None:
        return f"{name} has no mirror pod"
    if pod["metadata"].get("annotations", {}).get("kubelab.io/code") != code:
        return f"{name} still runs the code before"
    ready = [each["status"] for each in pod.get("status", {}).get("conditions", []) if each["type"] == "Ready"]
    return None if ready == ["True"] else f"{name} is not Ready"


def why_not_ready(node: Object | None) -> str | None:
    """``None`` for a Ready node, otherwise the reason in a few words."""
    if node is None:
        return "has not registered"
    for condition in node.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            if condition["status"] == "True":
                return None
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    return "has no Ready condition"


async def ensure_object(client: Client, obj: Object) -> None:
    """Create the object, or make an existing one hold its fields (merge patch; roleRef is immutable and the same).

    Looked at first: creating a Service that is there is not refused as such, but for its address, which it has itself.
    """
    resource, name = _resource(obj), obj["metadata"]["name"]
    namespace = obj["metadata"].get("namespace")
    try:
        await client.get(resource, name, namespace)
    except ApiError as error:
        if not is_not_found(error):
            raise
        await client.create(resource, obj, namespace)
        return
    await client.patch(resource, name, obj, namespace, kind="merge")


async def ensure_gone(client: Client, obj: Object) -> None:
    """Delete the object; absent is success."""
    try:
        await client.delete(_resource(obj), obj["metadata"]["name"], obj["metadata"].get("namespace"))
    except ApiError as error:
        if not is_not_found(error):
            raise


def _resource(obj: Object) -> Resource:
    resource = CATALOGUE.by_kind(obj["apiVersion"], obj["kind"])
    if resource is None:
        raise LabError(f"addon {obj['kind']} {obj['apiVersion']} is not in the catalogue")
    return resource


def _wait(
    context: Context,
    step: str,
    what: str,
    timeout: float,
    look: Callable[[Client], Awaitable[str | None]],
    machine: Machine,
    endings: Endings | None = None,
) -> None:
    """Call ``look`` until it returns ``None``. Loud at the deadline: why, and the last lines of those concerned.

    With ``endings`` loud as soon as what is waited for keeps ending.
    """

    async def attempt() -> None:
        # Not admin.conf: its group gets its rights from an addon.
        config = load_kubeconfig(context.home.secrets / "super-admin.conf")
        deadline = time.monotonic() + timeout
        next_look = time.monotonic() + _LOOK
        async with Client(config, "kubelab", timeout=15.0) as client:
            while True:
                try:
                    reason = await look(client)
                except (ApiError, ApiUnreachable) as error:
                    reason = str(error)
                if reason is None:
                    return
                if endings is not None and time.monotonic() > next_look:
                    if ended := await asyncio.to_thread(endings.look):
                        advice = _advice(machine, ended.name)
                        raise StepFailed(machine.name, step, f"{what}: {ended.why}", console=ended.lines, advice=advice)
                    next_look = time.monotonic() + _LOOK
                if time.monotonic() > deadline:
                    why = f"{what} after {timeout:.0f} s: {reason}"
                    advice = _advice(machine, "kubelet")
                    raise StepFailed(machine.name, step, why, console=_master_lines(context), advice=advice)
                if context.stop.is_set():
                    raise Stopped()
                await asyncio.sleep(_POLL)

    asyncio.run(attempt())


def _advice(machine: Machine, unit: str) -> str:
    return f"kubelab logs {machine.name} {unit}; kubelab ssh {machine.name}"


def _master_lines(context: Context) -> list[str]:
    """What the master has to say: the last lines of its kubelet and of the control plane, containers or units."""
    # The API server last: at the end of a screen is what people read. A log's lines begin with time, stream and F or P.
    if context.lab.control_plane is ControlPlane.SERVICE:
        units = "kubelet etcd kubelab-control-plane"
        show = 'echo "== $unit"; journalctl -u $unit -n 6 --no-pager -o cat'
        return list(_lines(context, f"for unit in {units}; do {show}; done"))
    command = (
        "journalctl -u kubelet -n 6 --no-pager -o cat; "
        "for name in kube-scheduler kube-controller-manager etcd kube-apiserver; do "
        "log=$(ls -t /var/log/pods/kube-system_$name-*/*/*.log 2>/dev/null | head -1); "
        '[ -z "$log" ] || { echo "== $name"; tail -n 4 "$log" | cut -d" " -f4-; }; done'
    )
    return list(_lines(context, command))


def _cluster_lines(context: Context) -> list[str]:
    return list(
        _lines(context, "kubectl -n kube-system get pods -o wide; kubectl -n kube-system get events | tail -n 8")
    )


def _lines(context: Context, command: str) -> Iterator[str]:
    try:
        result = context.shell(context.lab.master).run(command, timeout=60.0, check=False)
    except LabError as error:
        yield f"({error})"
        return
    yield from (result.text + result.stderr.decode(errors="replace")).splitlines()
