"""``kubelab history``: what became of an object, revision by revision."""

from __future__ import annotations

import json
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from apimachinery.client.config import ClientConfig
from apimachinery.client.rest import Client
from provisioner.asking import ask, config_of, find_resource
from provisioner.cli_options import AsJson, Context, Kubeconfig, LabName, Namespace
from provisioner.errors import BadInput, LabError
from provisioner.history import render_history

Object = dict[str, Any]


def history(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="As kubectl names it: deployment, deploy, cm, KIND/NAME.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME")] = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    lab: LabName = None,
    managed_fields: Annotated[bool, typer.Option("--show-managed-fields", help="Who owns which field, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Every revision of an object that the API server still holds (an hour by default), as differences."""
    if not name:
        kind, _, name = kind.partition("/")
    if not kind or not name:
        raise BadInput(["the name of an object is missing: kubelab history KIND NAME"])
    found = ask(_ask(config_of(kubeconfig, lab, context), kind, namespace, name))
    if found.get("kind") != "ObjectHistory":
        raise LabError("this API server keeps no history", advice="Only kubelab's does.")
    if as_json:
        print(json.dumps(found, indent=2))
        return
    out = Console(highlight=False, soft_wrap=True)
    for line in render_history(found, managed_fields=managed_fields):
        out.print(line)


async def _ask(config: ClientConfig, kind: str, namespace: str, name: str) -> Object:
    async with Client(config, "kubelab") as client:
        path = (await find_resource(client, kind)).path(namespace or config.namespace or "default", name)
        answer: Object = orjson.loads(await client.raw("GET", path, {"history": "true"}))
        return answer
