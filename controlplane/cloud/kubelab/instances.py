"""The machines of a lab as instances of a cloud."""

from __future__ import annotations

from controlplane.cloud.kubelab.lab import LabFile
from controlplane.cloud.kubelab.power import Hypervisor, Power
from controlplane.cloud.provider import CloudProblem, InstanceMetadata, Object


class LabInstances:
    """Nodes are the lab's machines; what is not in the lab's configuration does not exist."""

    def __init__(self, lab: LabFile, hypervisor: Hypervisor) -> None:
        self._lab, self._hypervisor = lab, hypervisor

    async def exists(self, node: Object) -> bool:
        return await self._power(node) is not Power.ABSENT

    async def shutdown(self, node: Object) -> bool:
        return await self._power(node) is Power.OFF

    async def metadata(self, node: Object) -> InstanceMetadata:
        machine, lab = self._lab.machine_of(node), self._lab.load()
        if machine is None:
            raise CloudProblem("instance not found")
        return InstanceMetadata(
            provider_id=lab.provider_id(machine.name),
            instance_type=machine.instance_type,
            zone=machine.zone,
            region=lab.region,
            addresses=(*(("InternalIP", ip) for ip in machine.addresses), ("Hostname", machine.name)),
        )

    async def _power(self, node: Object) -> Power:
        machine = self._lab.machine_of(node)
        return await self._hypervisor.power(machine) if machine is not None else Power.ABSENT
