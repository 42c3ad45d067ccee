"""Commands that ask an API server: whom, and what its refusals and its silence are told as."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import orjson

from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit.config import ConfigError
from apimachinery.meta.status import ApiError
from provisioner.errors import BadInput, LabError
from provisioner.history import Kind, find_kind
from provisioner.home import find_home, find_kubeconfig, find_lab, known_labs

Answer = TypeVar("Answer")


def config_of(kubeconfig: Path | None, lab: str | None, context: str | None) -> ClientConfig:
    """The credentials that the options of a command name. Raises BadInput."""
    try:
        return load_kubeconfig(find_kubeconfig(kubeconfig, lab), context)
    except ConfigError as error:
        raise BadInput([str(error)]) from None


def masters_of(config: ClientConfig, kubeconfig: Path | None, lab: str | None) -> dict[str, ClientConfig]:
    """The API server of every master, by its machine's name, where `config` dials an address that several share: what
    a component remembers or leads is known to the server beside it alone."""
    home = find_home()
    if kubeconfig is not None or (lab is None and len(known_labs(home)) != 1):
        return {}
    found = find_lab(home, lab).load()
    if not found.shared_ip or config.server != found.endpoint:
        return {}
    return {master.name: replace(config, server=f"https://{master.ip}:6443") for master in found.all_masters}


def ask(questions: Coroutine[Any, Any, Answer]) -> Answer:
    """Run what asks an API server. Raises LabError where it says no, or nothing."""
    try:
        return asyncio.run(questions)
    except ApiError as error:
        raise LabError(f"the API server says: {error.message}") from None
    except ApiUnreachable as error:
        raise LabError(
            f"the API server does not answer: {error}", advice="kubelab status shows the machines."
        ) from None


async def find_resource(client: Client, word: str) -> Kind:
    """What `word` names, as kubectl understands it: a group whose own server is away has nothing of that name. Raises
    BadInput, ApiError, ApiUnreachable."""

    async def get(path: str) -> dict[str, Any]:
        answer: dict[str, Any] = orjson.loads(await client.raw("GET", path))
        return answer

    groups = (await get("/apis"))["groups"]
    paths = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    documents = []
    for path in paths:
        try:
            documents.append(await get(path))
        except ApiError as error:
            if error.code != 503:
                raise
    found = find_kind(documents, word)
    if found is None:
        raise BadInput([f'the server doesn\'t have a resource type "{word}"'])
    return found
