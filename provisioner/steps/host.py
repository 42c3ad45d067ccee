"""Steps on the host: images, keys and certificates, the network."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from apimachinery.client.pki import Cluster, ensure_cluster_pki, ensure_kubelet_serving
from provisioner.context import Context
from provisioner.digests import packages_of
from provisioner.errors import LabError
from provisioner.images import ImageError, compile_bundle, damage_explained, ensure_cni_client, stoppable
from provisioner.inventory import write_inventory
from provisioner.keys import ensure_keys


class Images:
    """Build what machines start from, or find it in the cache."""

    title = "images"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        try:
            with stoppable(context.stop.is_set), damage_explained(context.home.home):
                context.driver.prepare(lambda text: context.notes.detail("lab", text))
            if ensure_cni_client(context.home.home, context.source) is None:
                context.notes.note(
                    "lab", "no C compiler: every pod's network starts an interpreter; apt-get install gcc"
                )
        except ImageError as error:
            raise LabError(str(error)) from error


class Bundle:
    """Compile our packages for the machines' interpreter."""

    title = "code for the machines"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        try:
            for packages in sorted({packages_of(machine) for machine in context.lab.machines}):
                compile_bundle(context.home.home, context.source, packages=packages)
        except ImageError as error:
            raise LabError(str(error)) from error


class Keys:
    """SSH keys, the cluster's authorities and certificates, kubeconfigs, the inventory."""

    title = "keys and certificates"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        lab, home = context.lab, context.home
        ensure_keys(home.ssh, lab)
        masters = {machine.name: machine.ip for machine in lab.all_masters}
        ensure_cluster_pki(
            home.secrets,
            Cluster(
                endpoint=lab.endpoint,
                api_names=["localhost"],
                api_ips=[ip for ip in ("127.0.0.1", lab.shared_ip) if ip],
                service_ip=lab.service_ip,
                dns_domain=lab.dns_domain,
                masters=masters,
                nodes=[machine.name for machine in lab.machines],
                local_endpoint="https://127.0.0.1:6443" if lab.shared_ip else "",
            ),
        )
        for machine in lab.machines:
            ensure_kubelet_serving(home.secrets, machine.name, machine.ips)
        write_inventory(lab, home)
        # A kubeconfig that others can read is a cluster that others own.
        for path in home.root.glob("*.conf"):
            with contextlib.suppress(OSError):
                path.chmod(0o600)


class Network:
    """The lab's own network."""

    title = "network"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        context.driver.ensure_network()
