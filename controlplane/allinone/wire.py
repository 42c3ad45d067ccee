"""Joining the three components. They meet at the API, over TLS on loopback, as they do on machines of their own."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from apimachinery.client.config import load_kubeconfig
from apimachinery.client.pki import Cluster, ensure_cluster_pki
from apimachinery.controller.glassbox import GlassBox
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.files import write_atomic
from apimachinery.kit.tasks import cancel_and_wait, wait_first
from apimachinery.meta.status import service_unavailable
from controlplane.allinone.config import AllInOneConfig
from controlplane.apiserver import config as apiserver_config
from controlplane.apiserver import wire as apiserver
from controlplane.apiserver.front.components import within

log = logging.getLogger(__name__)


class ControlPlane:
    """`run` serves until it is told to stop."""

    def __init__(self, config: AllInOneConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._tasks: dict[str, asyncio.Task[object]] = {}
        self._boxes: dict[str, GlassBox] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Make what is missing under the data directory, serve, then start the scheduler and the controllers.

        Raises OSError, ConfigError, StorageError when it cannot start, and what a component dies of."""
        prepare(self._config)
        async with AsyncExitStack() as undo:
            parts = ("scheduler", "controller-manager")
            probes = {name: partial(self._healthy, name) for name in parts}
            boxes = {f"kube-{name}": within(partial(self._asked, name)) for name in parts}
            server = apiserver.build(apiserver_config.parse(flags(self._config)), self._clock, probes, boxes)
            await server.start(undo)
            self._tasks = self._components(stop)
            undo.push_async_callback(cancel_and_wait, *self._tasks.values())
            await wait_first(stop, *self._tasks.values())

    async def _healthy(self, name: str) -> None:
        """Of a component in this process. Raises RuntimeError."""
        if name not in self._tasks or self._tasks[name].done():
            raise RuntimeError("not running")

    async def _asked(self, name: str, method: str, path: str, query: Mapping[str, str]) -> object:
        """The answer of a component's glass box. Raises ApiError."""
        if name not in self._boxes:
            raise service_unavailable(f"kube-{name} has not started")
        return await self._boxes[name].answer(method, path, query)

    def _components(self, stop: asyncio.Event) -> dict[str, asyncio.Task[object]]:
        # Imported only now: the server answers while they load.
        from controlplane.controllers.config import ControllersConfig
        from controlplane.controllers.config_signing import one_for_all
        from controlplane.controllers.wire import build as build_controllers
        from controlplane.scheduler.config import SchedulerConfig
        from controlplane.scheduler.wire import build as build_scheduler

        directory, config = self._config.data_dir, self._config
        pki = directory / "pki"
        scheduler = build_scheduler(SchedulerConfig(client=load_kubeconfig(directory / "scheduler.conf")), self._clock)
        controllers = build_controllers(
            ControllersConfig(
                client=load_kubeconfig(directory / "controller-manager.conf"),
                root_ca=(pki / "ca.crt").read_bytes(),
                cluster_cidr=ipaddress.IPv4Network(config.cluster_cidr),
                second_cluster_cidr=ipaddress.IPv6Network(second) if (second := config.second_cluster_cidr) else None,
                service_cidr=ipaddress.IPv4Network(config.service_cidr),
                signing=one_for_all(pki / "ca.crt", pki / "ca.key"),
                signing_duration=config.signing_duration,
                token_key=pki / "sa.key",
                controllers=("*", "bootstrap-signer-controller", "token-cleaner-controller"),
                use_service_account_credentials=True,
            ),
            self._clock,
        )
        self._boxes = {"scheduler": scheduler.glass_box, "controller-manager": controllers.glass_box}
        return {
            "scheduler": asyncio.create_task(scheduler.run(stop)),
            "controller-manager": asyncio.create_task(controllers.run(stop)),
        }


def build(config: AllInOneConfig, clock: Clock | None = None) -> ControlPlane:
    """Join the parts. No I/O happens before `run`."""
    return ControlPlane(config, clock or SystemClock())


def prepare(config: AllInOneConfig) -> Path:
    """Certificates and kubeconfigs; the path of the administrator's, DIR/admin.kubeconfig."""
    directory = config.data_dir
    directory.mkdir(parents=True, exist_ok=True)
    local = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
    outside = config.advertise_address or local
    names = [name for name in config.api_names if not _is_address(name)]
    addresses = {"127.0.0.1", local, outside, *(name for name in config.api_names if _is_address(name))}
    cluster = Cluster(
        endpoint=f"https://{_bracketed(outside)}:{config.port}",
        api_names=["localhost", *names],
        api_ips=sorted(addresses),
        service_ip=str(next(ipaddress.IPv4Network(config.service_cidr).hosts())),
        dns_domain=config.dns_domain,
        local_endpoint=f"https://{_bracketed(local)}:{config.port}",
    )
    ensure_cluster_pki(directory, cluster)
    admin = directory / "admin.kubeconfig"
    write_atomic(admin, (directory / "admin.conf").read_bytes(), 0o600)
    return admin


def flags(config: AllInOneConfig) -> list[str]:
    """The API server's command line, as a manifest would spell it."""
    pki = config.data_dir / "pki"
    found = [
        f"--bind-address={config.host}",
        f"--secure-port={config.port}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--service-account-issuer=https://kubernetes.default.svc.{config.dns_domain}",
        f"--service-cluster-ip-range={','.join(filter(None, (config.service_cidr, config.second_service_cidr)))}",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet-client.key'}",
        f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
        # The process need not stand on a node, where kube-proxy would lead a Service's address to its endpoints.
        "--enable-aggregator-routing=true",
        "--authorization-mode=Node,RBAC",
        "--enable-bootstrap-token-auth=true",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
    ]
    if config.feature_gates:
        found.append(f"--feature-gates={config.feature_gates}")
    if config.advertise_address:
        found.append(f"--advertise-address={config.advertise_address}")
    if config.etcd_servers:
        found.append(f"--etcd-servers={','.join(config.etcd_servers)}")
        if config.etcd_pki is not None:
            found += [
                f"--etcd-cafile={config.etcd_pki / 'ca.crt'}",
                f"--etcd-certfile={config.etcd_pki / 'client.crt'}",
                f"--etcd-keyfile={config.etcd_pki / 'client.key'}",
            ]
    else:
        found.append(f"--storage-sqlite={config.data_dir / 'store.db'}")
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
