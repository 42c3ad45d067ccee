"""``kubelab history``: what became of an object, revision by revision."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.config import ConfigError
from apimachinery.meta.status import ApiError
from provisioner.cli_options import AsJson, Context, Kubeconfig, LabName, Namespace
from provisioner.errors import BadInput, LabError
from provisioner.history import find_kind, render_history
from provisioner.home import find_kubeconfig

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
    try:
        config = load_kubeconfig(find_kubeconfig(kubeconfig, lab), context)
        found = asyncio.run(_ask(config, kind, namespace, name))
    except ConfigError as error:
        raise BadInput([str(error)]) from None
    except ApiError as error:
        raise LabError(f"the API server says: {error.message}") from None
    except ApiUnreachable as error:
        raise LabError(
            f"the API server does not answer: {error}", advice="kubelab status shows the machines."
        ) from None
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

        async def get(path: str, query: dict[str, str] | None = None) -> Object:
            answer: Object = orjson.loads(await client.raw("GET", path, query))
            return answer

        groups = (await get("/apis"))["groups"]
        paths = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
        found = find_kind([await get(path) for path in paths], kind)
        if found is None:
            raise BadInput([f'the server doesn\'t have a resource type "{kind}"'])
        return await get(found.path(namespace or config.namespace or "default", name), {"history": "true"})
