"""What the tests of controllers make and wait for."""

from __future__ import annotations

from typing import Any

from apimachinery.meta.status import ApiError, is_not_found
from tests.integration.simulation import Simulation

Object = dict[str, Any]


def template(image: str = "nginx", **spec: Any) -> Object:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": image}], "terminationGracePeriodSeconds": 1, **spec},
    }


async def gone(cluster: Simulation, resource: Any, name: str, namespace: str | None = "default") -> None:
    async def look() -> bool:
        try:
            await cluster.client.get(resource, name, namespace)
        except ApiError as error:
            return is_not_found(error)
        return False

    await cluster.eventually(look, f"{resource} {name} gone")
