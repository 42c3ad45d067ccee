"""What a loop's next turn would do (apimachinery.controller.rehearsing), the cloud's part of it told in words."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import NODES, PERSISTENTVOLUMECLAIMS, SERVICES, Resource
from apimachinery.controller.rehearsing import StillInformers, rehearse
from apimachinery.controller.stepping import Rehearse
from controlplane.cloud import disk_resizer, node, service
from controlplane.cloud.config import CloudConfig
from controlplane.cloud.context import Context, Loop
from controlplane.cloud.descriptors import make_loops
from controlplane.cloud.imagined import imagine

Object = dict[str, Any]

KEYS: dict[str, Resource] = {
    node.NAME: NODES,
    service.NAME: SERVICES,
    disk_resizer.NAME: PERSISTENTVOLUMECLAIMS,
}
"""What a loop's keys name; those of other loops name several kinds, or a round over all."""


def is_namespaced(loop: str) -> bool:
    """Whether the keys of a loop are `namespace/name`, all of them."""
    return loop in KEYS and KEYS[loop].namespaced


class _StillContext(Context):
    """What the second instance is given: the same client and caches, and a cloud that only says what it would do."""

    def __init__(self, real: Context) -> None:
        super().__init__(real.client, imagine(real.cloud), real.clock, real.periods, real.pods)
        self.informers = StillInformers(real.informers)


def rehearse_with(context: Context, config: CloudConfig, real: Loop) -> Rehearse:
    """The rehearsal of a loop."""
    name = real.loop.name

    async def rehearse_key(key: str) -> Object:
        still = next(each for each in make_loops(_StillContext(context), config) if each.loop.name == name)
        kind = context.informers.get(KEYS[name]) if name in KEYS else None
        return await rehearse(still, real, name, key, kind)

    return rehearse_key
