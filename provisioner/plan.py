"""The readable list: which steps bring a lab up, for which machine, after which others. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from provisioner.context import Context
from provisioner.spec import CloudProvider, Lab
from provisioner.steps import cloud, cluster, host, machine

#: The scope of steps that belong to no machine.
LAB = "lab"


class Action(Protocol):
    """The work of a step."""

    title: str

    def parts(self, context: Context) -> Mapping[str, str] | None:
        """Digests of the inputs, by name. ``None``: look every time; the action itself is quick when all is well."""

    def run(self, context: Context, changed: frozenset[str]) -> None:
        """Do it. ``changed``: the parts that differ from the last success. Safe to repeat after being cut off."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the plan. after: ids of the steps that must have succeeded."""

    scope: str
    name: str
    action: Action
    after: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.scope}/{self.name}"


def plan_up(lab: Lab) -> list[Step]:
    """Bring the lab up: from nothing, from a broken-off attempt, from halted machines, or with nothing left to do."""
    steps = [
        Step(LAB, "images", host.Images()),
        Step(LAB, "keys", host.Keys()),
        Step(LAB, "network", host.Network()),
        Step(LAB, "bundle", host.Bundle(), (f"{LAB}/images",)),
    ]
    host_steps = tuple(step.id for step in steps)
    for each in lab.machines:
        name = each.name
        steps += [
            Step(name, "create", machine.Create(each), host_steps),
            Step(name, "boot", machine.Boot(each), (f"{name}/create",)),
            *plan_install(lab, name, after=(f"{name}/boot",)),
        ]
    return steps + plan_cluster(lab)


def plan_install(lab: Lab, name: str, after: tuple[str, ...] = ()) -> list[Step]:
    """Put our code, the configuration and the services on a machine that answers."""
    each = lab.machine(name)
    return [
        Step(name, "code", machine.Code(each), after),
        Step(name, "files", machine.Files(each), (f"{name}/code",)),
        Step(name, "services", machine.Services(each), (f"{name}/files",)),
    ]


def plan_cluster(lab: Lab) -> list[Step]:
    """Wait for the parts to find each other, and add what runs as pods."""
    services = tuple(f"{each.name}/services" for each in lab.machines)
    manager = [Step(LAB, "cloud", cloud.Manager(), (f"{LAB}/addons",))]
    return [
        Step(LAB, "api", cluster.ApiReady(), (f"{lab.master.name}/services",)),
        Step(LAB, "addons", cluster.Addons(), (f"{LAB}/api",)),
        *(manager if lab.cloud_provider is CloudProvider.EXTERNAL else ()),
        Step(LAB, "nodes", cluster.NodesReady(), (f"{LAB}/api", *services)),
        Step(LAB, "control-plane", cluster.ControlPlaneCurrent(), (f"{LAB}/nodes", f"{LAB}/addons")),
        Step(LAB, "dns", cluster.DnsAnswers(), (f"{LAB}/control-plane",)),
        # Nobody waits for it: it has its first figures half a minute after it has started.
        Step(LAB, "metrics", cluster.MetricsServer(), (f"{LAB}/dns",)),
    ]


def plan_sync(lab: Lab) -> list[Step]:
    """Push changed code and configuration to a running lab and restart what changed."""
    steps = [Step(LAB, "bundle", host.Bundle())]
    for each in lab.machines:
        steps += [
            Step(each.name, "connect", machine.Connect(each)),
            *plan_install(lab, each.name, after=(f"{each.name}/connect", f"{LAB}/bundle")),
        ]
    return steps + plan_cluster(lab)


def check_plan(steps: Sequence[Step]) -> None:
    """Every name in ``after`` is an earlier step, and ids are unique. Raises ``ValueError``: a plan is never cyclic."""
    seen: set[str] = set()
    for step in steps:
        if step.id in seen:
            raise ValueError(f"{step.id} is planned twice")
        if missing := [name for name in step.after if name not in seen]:
            raise ValueError(f"{step.id} comes before {', '.join(missing)}")
        seen.add(step.id)
