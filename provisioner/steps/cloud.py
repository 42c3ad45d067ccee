"""The cloud controller manager, on this host: what it needs to know, and the process."""

from __future__ import annotations

import json
from collections.abc import Mapping

from apimachinery.client.pki import ensure_user_conf
from apimachinery.kit.files import write_atomic
from provisioner import cloudmanager
from provisioner.context import Context
from provisioner.digests import CONTROL_PLANE, code_digest
from provisioner.drivers import Driver
from provisioner.spec import MIB, Lab, Machine
from provisioner.spec import Driver as DriverName
from provisioner.steps.cluster import hand_to_cloud

USER = "system:cloud-controller-manager"


class Manager:
    """Start it, or start it again when its code has changed. Its rights are among the addons.

    Nodes of before the lab had a cloud are handed to it."""

    title = "cloud controller manager"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        lab, home = context.lab, context.home
        ensure_user_conf(home.cloud_conf, home.secrets, lab.endpoint, USER)
        write_atomic(home.cloud_config, render_cloud_config(lab, context.driver))
        cloudmanager.ensure_running(home, context.source, code_digest(context.source, CONTROL_PLANE))
        hand_to_cloud(context)


def render_cloud_config(lab: Lab, driver: Driver) -> str:
    """The cloud configuration: controlplane/cloud/kubelab/lab.py reads it."""
    plain = {
        "name": lab.name,
        "driver": "netns" if lab.driver is DriverName.NETNS else "libvirt",
        "region": lab.name,
        "networks": lab.networks.split(","),
        "pods": lab.pod_cidrs.split(","),
        "loadBalancers": [each.split("-") for each in lab.balancer_ranges],
        "machines": [_described(lab, driver, machine) for machine in lab.machines],
    }
    return json.dumps(plain, indent=2) + "\n"


def _described(lab: Lab, driver: Driver, machine: Machine) -> dict[str, str | list[str]]:
    where, uuid = driver.whereabouts(machine)
    size = machine.size
    return {
        "name": machine.name,
        "addresses": list(machine.ips),
        "zone": lab.zone(machine),
        "instance_type": f"{size.vcpus}cpu-{size.memory // MIB}Mi",
        "where": where,
        "uuid": uuid,
    }
