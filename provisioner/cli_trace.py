"""``kubelab trace``: what led to an object and what came of it, through every component, as one timeline."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from apimachinery.api.catalogue import NODES
from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.meta.status import ApiError
from provisioner.asking import ask, config_of, find_resource, masters_of
from provisioner.cli_options import AsJson, Context, Kubeconfig, LabName, Namespace
from provisioner.doors import ROOT, ApiDoor, Door, host_doors
from provisioner.errors import BadInput, LabError
from provisioner.home import find_home
from provisioner.timeline import render_timeline
from provisioner.tracing import Document, Joined, Step, compute_timeline

Object = dict[str, Any]


def trace(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="As kubectl names it: deployment, pod, svc, KIND/NAME.")],
    name: Annotated[str, typer.Argument(metavar="NAME")] = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    lab: LabName = None,
    admission: Annotated[bool, typer.Option("--admission", help="What admission did, of every request.")] = False,
    as_json: AsJson = False,
) -> None:
    """One timeline of an object: from the request to the running container and the rule in the kernel.

    Who asked, what admission changed or refused, at which revision it was stored, who heard of it and when, what each
    controller did about it, where it was bound, and what the node did.

    Every component remembers its last 8192 doings; what is older is forgotten.
    """
    if not name:
        kind, _, name = kind.partition("/")
    if not kind or not name:
        raise BadInput(["the name of an object is missing: kubelab trace KIND NAME"])
    config = config_of(kubeconfig, lab, context)
    masters = masters_of(config, kubeconfig, lab)
    found = ask(_gather(config, masters, host_doors(find_home(), config), kind, namespace, name))
    steps, silent = found
    if as_json:
        print(json.dumps({"steps": [_as_json(step) for step in steps], "silent": silent}, indent=2))
        return
    if not steps:
        raise LabError(
            f"nothing is remembered of {kind} {name}",
            advice="It is older than what the components remember, or it never was; kubelab history knows revisions.",
        )
    out = Console(highlight=False, soft_wrap=True)
    for line in render_timeline(steps, admission=admission):
        out.print(line)
    for where, why in silent.items():
        out.print(f"{where} told nothing: {why}", style="yellow")


async def _gather(
    config: ClientConfig,
    masters: Mapping[str, ClientConfig],
    beside: Sequence[Door],
    word: str,
    namespace: str,
    name: str,
) -> tuple[list[Step], dict[str, str]]:
    """The timeline, and why who does not speak of it does not.

    masters: the API servers that share the address of `config`. beside: components that no API server reaches.
    """
    async with Client(config, "kubelab") as client:
        kind = await find_resource(client, word)
        documents: list[Document] = []
        silent: dict[str, str] = {}
        components = await _components(client)
        async with AsyncExitStack() as stack:
            doors: list[tuple[str, Door]] = [("", door) for door in beside]
            for master, other in (masters or {"": config}).items():
                server = await stack.enter_async_context(Client(other, "kubelab"))
                doors += [(master, ApiDoor(server, component)) for component in components]
            for master, door in doors:
                where = f"{door.component} {master}".strip()
                await _fetch(door.ask("GET", "trace"), master, where, documents, silent)
        for node in (await client.list(NODES))["items"] or []:
            machine = node["metadata"]["name"]
            path = f"/api/v1/nodes/{machine}/proxy/debug/trace"
            await _fetch(_of_node(client, path), machine, f"kubelet {machine}", documents, silent)
    resource = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    key = f"{namespace or config.namespace or 'default'}/{name}" if kind.namespaced else name
    return compute_timeline(Joined(documents), resource, key), silent


async def _components(client: Client) -> list[str]:
    try:
        answer: Object = orjson.loads(await client.raw("GET", ROOT))
    except ApiError as error:
        if error.code == 404:
            raise LabError("this API server keeps no trace", advice="Only kubelab's does.") from None
        raise
    found: list[str] = answer["components"]
    return found


async def _of_node(client: Client, path: str) -> Object:
    found: Object = orjson.loads(await client.raw("GET", path))
    return found


async def _fetch(
    answer: Awaitable[Object], node: str, where: str, documents: list[Document], silent: dict[str, str]
) -> None:
    sent = time.time()
    try:
        body = await answer
    except (ApiError, ApiUnreachable, ValueError) as error:
        silent[where] = str(getattr(error, "message", "") or error)
        return
    received = time.time()
    documents.append(Document(body, node, sent, received))
    documents.extend(Document(each, node, sent, received) for each in body.get("neighbours", ()))


def _as_json(step: Step) -> Object:
    resource, key, revision = step.thing
    return {**asdict(step), "thing": {"resource": resource, "key": key, "revision": revision}}
