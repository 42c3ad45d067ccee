"""What can be done with a whole lab: bring it up, sync, halt, destroy, look at it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from apimachinery.api.catalogue import NODES
from apimachinery.client.config import load_kubeconfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.config import ConfigError
from apimachinery.meta.status import ApiError
from provisioner import cloudmanager
from provisioner.context import Context
from provisioner.drivers import Driver, State, make_driver
from provisioner.errors import BadInput, LabError
from provisioner.home import LabHome
from provisioner.images import ImageError, require_recipes
from provisioner.journal import Journal
from provisioner.plan import Step, plan_sync, plan_up
from provisioner.progress import Progress
from provisioner.runner import Ran, run_plan
from provisioner.spec import CloudProvider, Lab, Machine
from provisioner.steps.cluster import why_not_ready

#: The checkout: the folder that holds the packages.
SOURCE = Path(__file__).resolve().parents[1]

MakeProgress = Callable[[Sequence[Step]], Progress]


@dataclass(frozen=True, slots=True)
class Brought:
    """A lab that is up. notes: what went otherwise than planned, such as a machine started twice."""

    lab: Lab
    home: LabHome
    seconds: float
    steps: Sequence[Ran]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """node: "Ready", the reason why not, or "unknown" when the API does not answer."""

    machine: Machine
    state: State
    node: str


def bring_up(lab: Lab, home: Path, make_progress: MakeProgress) -> Brought:
    """From whatever there is to a lab that answers.

    Raises ``BadInput`` before anything is made, and ``StepFailed`` for the first step that failed.
    """
    place = LabHome(home, lab.name)
    if place.exists and (problems := check_change(place.load(), lab)):
        raise BadInput(problems, advice="kubelab destroy first, or give the lab another name.")
    try:
        require_recipes()
    except ImageError as error:
        raise LabError(str(error)) from None
    driver = make_driver(lab, place)
    if problems := driver.problems():
        raise BadInput(problems)
    begun = time.monotonic()
    with place.locked():
        place.create(lab)
        steps = plan_up(lab)
        with make_progress(steps) as progress:
            progress.note("lab", driver.about)
            ran = run_plan(steps, _context(lab, place, driver, progress), progress)
            return Brought(lab, place, time.monotonic() - begun, ran, progress.notes[1:])


def find_problems(lab: Lab, home: Path) -> list[str]:
    """What keeps a lab from being brought up on this host, as far as that can be looked at. Changes nothing."""
    place = LabHome(home, lab.name)
    try:
        change = check_change(place.load(), lab) if place.exists else []
        return [*change, *make_driver(lab, place).problems()]
    except LabError:
        return []


def sync(place: LabHome, make_progress: MakeProgress) -> Sequence[Ran]:
    """Push what changed in the checkout to the running machines and restart what it concerns."""
    lab = place.load()
    with place.locked():
        steps = plan_sync(lab)
        with make_progress(steps) as progress:
            return run_plan(steps, _context(lab, place, make_driver(lab, place), progress), progress)


def halt(place: LabHome, names: Sequence[str], *, force: bool = False) -> list[Machine]:
    """Turn machines off, all of them when ``names`` is empty: workers first, so that nothing loses its API before.

    Returns those that are off now.
    """
    lab = place.load()
    driver = make_driver(lab, place)
    chosen = [find_machine(lab, name) for name in names] or list(lab.machines)
    off = driver.power_off if force else driver.halt
    with place.locked():
        if not names:
            cloudmanager.stop(place)
        for group in ([m for m in chosen if not m.is_master], [m for m in chosen if m.is_master]):
            _each(group, off)
    return chosen


def destroy(place: LabHome, lab: Lab | None = None) -> None:
    """Leave no domain, network, disk, process, rule or route of the lab, and no folder.

    ``lab``: what it was, when its folder cannot say so any more.
    """
    lab = lab or place.load()
    driver = make_driver(lab, place)
    with place.locked():
        cloudmanager.stop(place)
        _each(lab.machines, driver.destroy)
        driver.destroy_network()
        place.remove()


def status(place: LabHome) -> list[MachineStatus]:
    """Every machine, as the hypervisor and the API see it. Waits at most some seconds for the API."""
    lab = place.load()
    driver = make_driver(lab, place)
    states = {machine.name: driver.state(machine) for machine in lab.machines}
    nodes = asyncio.run(_nodes(place)) if State.RUNNING in states.values() else None
    found = []
    for machine in lab.machines:
        node = "unknown" if nodes is None else nodes.get(machine.name, "not registered")
        found.append(MachineStatus(machine, states[machine.name], node))
    return found


def find_machine(lab: Lab, name: str) -> Machine:
    """The machine called ``name``. Raises ``BadInput`` listing those there are."""
    try:
        return lab.machine(name)
    except KeyError:
        known = ", ".join(machine.name for machine in lab.machines)
        raise BadInput([f"there is no machine {name!r} in the lab {lab.name}; there are: {known}"]) from None


def check_change(old: Lab, new: Lab) -> list[str]:
    """What of a new lab file cannot be done to the lab as it is."""
    problems = []
    gets_cloud = old.cloud_provider is CloudProvider.NONE and new.cloud_provider is CloudProvider.EXTERNAL
    for name, before, after in (
        ("driver", old.driver, new.driver),
        ("network", old.networks, new.networks),
        ("podCIDR", old.pod_cidrs, new.pod_cidrs),
        ("serviceCIDR", old.service_cidrs, new.service_cidrs),
        ("dnsDomain", old.dns_domain, new.dns_domain),
        ("controlPlane", old.control_plane, new.control_plane),
        ("cloudProvider", old.cloud_provider, new.cloud_provider),
        ("zones", old.zones, new.zones),
        ("masters", old.masters.count, new.masters.count),
        ("masters' size", old.masters.size, new.masters.size),
        ("workers' size", old.workers.size, new.workers.size),
    ):
        if before != after and not (gets_cloud and name in ("cloudProvider", "zones")):
            problems.append(f"{name}: the lab {old.name} was made with {before} and cannot become {after}")
    if new.workers.count < old.workers.count:
        problems.append(f"workers: the lab {old.name} has {old.workers.count}; it can grow, not shrink")
    return problems


def _context(lab: Lab, place: LabHome, driver: Driver, progress: Progress) -> Context:
    return Context(lab, place, driver, SOURCE, Journal(place.journal), progress)


def _each(machines: Sequence[Machine], action: Callable[[Machine], None]) -> None:
    with ThreadPoolExecutor(max(len(machines), 1)) as pool:
        # All are tried; the first failure is told when all have ended.
        for future in [pool.submit(action, machine) for machine in machines]:
            future.result()


async def _nodes(place: LabHome) -> dict[str, str] | None:
    try:
        async with Client(load_kubeconfig(place.admin_conf), "kubelab", timeout=5.0) as client:
            items = (await client.list(NODES))["items"]
    except (ApiError, ApiUnreachable, ConfigError):
        return None
    return {node["metadata"]["name"]: why_not_ready(node) or "Ready" for node in items}
