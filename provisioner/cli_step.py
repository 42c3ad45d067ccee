"""``kubelab step``: pause a loop of the control plane, see what its next turn would do, and let it."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console

from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.meta.status import ApiError
from provisioner.asking import ask, config_of, masters_of
from provisioner.cli_options import AsJson, Context, Kubeconfig, LabName, Namespace
from provisioner.doors import ApiDoor, Door, host_doors
from provisioner.errors import BadInput, LabError
from provisioner.home import find_home
from provisioner.stepping import complete_key, find_loop, render_list, render_rehearsal, render_waiting, spell_wait

Object = dict[str, Any]

COMPONENTS = ("kube-scheduler", "kube-controller-manager")


def step(
    loop: Annotated[
        str, typer.Argument(metavar="LOOP", help="scheduler, replicaset, deployment, … as --list names them.")
    ] = "",
    key: Annotated[str, typer.Argument(metavar="KEY", help="[NAMESPACE/]NAME: its turn, not the next one's.")] = "",
    everything: Annotated[bool, typer.Option("--list", help="Every loop and how much waits for it.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Let it begin nothing more. No LOOP: all of them.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Let it work by itself again. No LOOP: all.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take the turn without asking.")] = False,
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Pause a controller or the scheduler, see what its next turn would do, and let it when you say so.

    Without LOOP: every loop of every process, and how much waits for it; in a lab with a cloud, those of the cloud
    controller manager on this host too.

    What a turn would do is rehearsed by the controller itself: every write goes to the API server as a dry run, and so
    is defaulted, admitted and validated, but not stored. The loop stays paused until --resume.
    """
    if pause and resume:
        raise BadInput(["step: --pause and --resume are opposites"])
    if key and not loop:
        raise BadInput(["step: KEY needs LOOP"])
    config = config_of(kubeconfig, lab, context)
    if namespace:
        config = replace(config, namespace=namespace)
    others = [*masters_of(config, kubeconfig, lab).values()]
    session = _Session(config, others, host_doors(find_home(), config), as_json=as_json)
    ask(session.run(loop, key, pause=pause, resume=resume, everything=everything, yes=yes))


class _Session:
    """One command. others: the API servers that share the config's address. beside: components that none reaches."""

    def __init__(
        self, config: ClientConfig, others: list[ClientConfig], beside: Sequence[Door], *, as_json: bool
    ) -> None:
        self._config, self._others, self._beside, self._as_json = config, others, beside, as_json
        self._silent: dict[str, str] = {}
        self._out = Console(highlight=False, soft_wrap=True)

    async def run(self, word: str, key: str, *, pause: bool, resume: bool, everything: bool, yes: bool) -> None:
        async with self._clients() as clients:
            found: list[tuple[Door, Object]] = []
            for component in COMPONENTS:
                door, answer = await self._leading(clients, component)
                found += [(door, loop) for loop in answer["loops"]]
            for door in self._beside:
                try:
                    found += [(door, loop) for loop in (await door.ask("GET", "loops"))["loops"]]
                except ApiUnreachable as error:  # it has ended
                    self._silent[door.component] = str(error)
            for component, why in self._silent.items():
                self._say(f"{component} told nothing: {why}")
            if not found:
                raise LabError("no scheduler and no controller manager leads yet", advice="Try again in a few seconds.")
            if word:
                name = find_loop(word, [loop["name"] for _, loop in found])
                found = [each for each in found if each[1]["name"] == name]
            if pause or resume:
                what = "pause" if pause else "resume"
                found = [(door, await _post(door, loop["name"], what)) for door, loop in found]
            if everything or pause or resume or not word:
                self._list([{"component": door.component, **loop} for door, loop in found])
                return
            door, loop = found[0]
            await self._step(door, loop, complete_key(key, loop, self._config.namespace), yes=yes)

    async def _step(self, door: Door, loop: Object, key: str, *, yes: bool) -> None:
        name = loop["name"]
        if not loop["paused"]:
            loop = await _post(door, name, "pause")
            self._say(f"{name} is paused now; kubelab step {shlex.quote(name)} --resume lets it work by itself again.")
        told = await _post(door, name, "rehearse", key)
        if not told:
            self._end(render_waiting(loop), {"loop": loop, "rehearsal": None, "outcome": None})
            return
        if not self._as_json:
            for line in render_rehearsal(name, told):
                self._out.print(line)
        if not yes and (self._as_json or not _confirmed()):
            self._end([], {"loop": loop, "rehearsal": told, "outcome": None})
            return
        outcome = await _post(door, name, "step", told["key"])
        lines = ["[yellow]it was no longer there[/]"] if not outcome else [_told(outcome)]
        self._end(lines, {"loop": loop, "rehearsal": told, "outcome": outcome or None})
        if outcome and outcome["error"]:
            raise typer.Exit(1)

    def _list(self, loops: list[Object]) -> None:
        self._end(render_list(loops), {"loops": loops, "silent": self._silent})

    def _say(self, line: str) -> None:
        if not self._as_json:
            self._out.print(line, style="yellow")

    def _end(self, lines: list[Any], document: Object) -> None:
        if self._as_json:
            print(json.dumps(document, indent=2))
            return
        for line in lines:
            self._out.print(line)

    async def _leading(self, clients: list[Client], component: str) -> tuple[Door, Object]:
        """The way to the leading process of a component; the first one's answer when none leads."""
        first: Object | None = None
        doors = [ApiDoor(client, component) for client in clients]
        for door in doors:
            try:
                answer = await door.ask("GET", "loops")
            except ApiError as error:
                if error.code == 404:
                    raise LabError("this API server has no glass box", advice="Only kubelab's has.") from None
                if error.code != 503:
                    raise
                self._silent[component] = error.message
                continue
            except ApiUnreachable:
                if door is doors[0]:
                    raise
                continue  # another master is down
            if answer["leading"]:
                self._silent.pop(component, None)
                return door, answer
            first = first or answer
        return doors[0], first or {"loops": []}

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[list[Client]]:
        async with AsyncExitStack() as stack:
            configs = [self._config, *self._others]
            yield [await stack.enter_async_context(Client(config, "kubelab")) for config in configs]


async def _post(door: Door, loop: str, what: str, key: str = "") -> Object:
    return await door.ask("POST", f"loops/{loop}/{what}", {"key": key} if key else {})


def _confirmed() -> bool:
    """Ask the person at the terminal; where there is none, nothing is performed without --yes."""
    return sys.stdin.isatty() and typer.confirm("Perform it?")


def _told(outcome: Object) -> str:
    seconds = f" in {outcome['seconds'] * 1000:.0f} ms" if outcome.get("seconds") is not None else ""
    again = f"; comes back in {spell_wait(outcome['again'])}" if outcome.get("again") is not None else ""
    if outcome["error"]:
        return f"[red]{outcome['key']}: {outcome['result']}{seconds}: {outcome['error']}[/]; it backs off"
    return f"[green]{outcome['key']}: {outcome['result']}[/]{seconds}{again}"
