"""Volumes are attached to the nodes of their pods, and detached again (pkg/controller/volume/attachdetach).

It writes VolumeAttachments; the driver of the volume acts on them. One worker takes nodes in turn: whether a volume may
be attached here follows from what was decided for other nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from apimachinery.api.catalogue import (
    CSIDRIVERS,
    NODES,
    PERSISTENTVOLUMES,
    VOLUMEATTACHMENTS,
)
from apimachinery.controller.loop import Controller
from apimachinery.controller.queue import WorkQueue
from apimachinery.meta import attachments, objects, pods, volumes
from apimachinery.meta.status import ApiError, is_already_exists, is_conflict, is_not_found
from controlplane.controllers.attach_detach_plan import (
    Detachment,
    NodePlan,
    Wanted,
    is_healthy,
    is_out_of_service,
    multi_attach_text,
    needs_volume,
    plan_node,
    render_attachment,
)
from controlplane.controllers.claim_users import BY_CLAIM, claims_and_users
from controlplane.controllers.context import BY_NODE, Context

Object = dict[str, Any]

NAME = "persistentvolume-attach-detach-controller"
ATTACH_TIMEOUT = 120.0  # seconds after which it is said that the driver does not answer (csi_plugin.go: csiTimeout)
_OF_NODE, _OF_VOLUME = "node", "volume"


class AttachDetach:
    """Reconciles nodes."""

    name = NAME

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._force = not context.config.disable_force_detach
        claims, all_pods = claims_and_users(context)
        informer, nodes, all_volumes = (
            context.informer(each) for each in (VOLUMEATTACHMENTS, NODES, PERSISTENTVOLUMES)
        )
        self._attachments, self._nodes, self._pods = informer.lister, nodes.lister, all_pods.lister
        self._claims, self._volumes = claims.lister, all_volumes.lister
        self._drivers = context.informer(CSIDRIVERS).lister
        self._attachments.add_index(_OF_NODE, _if_ours(lambda each: each["spec"]["nodeName"]))
        self._attachments.add_index(_OF_VOLUME, _if_ours(attachments.volume_of))
        self._recorder = context.recorder("attachdetach-controller")
        # What we made and the watch has not shown: who decides must see his own last decisions.
        self._made: dict[str, Object] = {}
        self._unwanted: dict[str, float] = {}  # since when, by the VolumeAttachment's name
        self._awaited: dict[str, float] = {}
        self._told: set[tuple[str, str]] = set()
        self._queue = WorkQueue(context.clock)
        self.loop = Controller(NAME, self.reconcile, self._queue)
        informer.add_handler(self._attachment_changed, on_delete=self._gone)
        nodes.add_handler(self._wake_node, self._node_changed, self._wake_node)
        all_pods.add_handler(self._pod_changed, on_delete=self._pod_changed)
        claims.add_handler(self._claim_changed)
        all_volumes.add_handler(self._volume_changed)

    def recall(self, other: AttachDetach) -> None:
        """Remember what `other` does (`kubelab step` rehearses with a new instance)."""
        self._made, self._told = dict(other._made), set(other._told)
        self._unwanted, self._awaited = dict(other._unwanted), dict(other._awaited)

    async def run(self) -> None:
        """Work until cancelled."""
        await self.loop.run()

    async def reconcile(self, key: str) -> float | None:
        """Attach what the node's pods need, detach what they do not, and say on the Node what it has."""
        node = self._nodes.get(key)
        if node is not None and attachments.MANAGED not in objects.annotations(node):
            return None  # its kubelet attaches by itself
        wanted, own = self._wanted(key), self._own(key)
        elsewhere = {name: self._others(name, key) for name in wanted}
        plan = plan_node(node, wanted, own, elsewhere, self._since_unwanted, self._volumes.get, force=self._force)
        for attachment in own:
            if attachments.volume_of(attachment) in wanted:
                self._unwanted.pop(objects.name(attachment), None)
        self._say_of_attaching(wanted, own, plan)
        if node is not None:
            await self._report(node, plan.report)
        for each in plan.detach:
            await self._detach(each, node)
        for volume in plan.attach:
            await self._attach(volume, key, wanted[objects.name(volume)].pods)
        self._say_refused(wanted, plan)
        self._say_failed(wanted, own)
        waiting = [ATTACH_TIMEOUT] if plan.attach or self._is_awaited(own, wanted) else []
        return min([*waiting, *([plan.again] if plan.again is not None else [])], default=None)

    def _wanted(self, node: str) -> dict[str, Wanted]:
        found: dict[str, tuple[Object, list[Object]]] = {}
        for pod in self._pods.by_index(BY_NODE, node):
            if not needs_volume(pod):
                continue
            for volume in self._attachable(pod):
                found.setdefault(objects.name(volume), (volume, []))[1].append(pod)
        return {name: Wanted(volume, tuple(users)) for name, (volume, users) in found.items()}

    def _attachable(self, pod: Object) -> Iterator[Object]:
        """The volumes of the pod's claims that a driver has to attach."""
        for _, name, ephemeral in volumes.pod_claims(pod):
            claim = self._claims.get(name, objects.namespace(pod))
            if claim is None or (ephemeral and volumes.check_ephemeral(pod, claim)):
                continue
            volume = self._volumes.get(claim["spec"].get("volumeName") or "")
            if volume is None or not volumes.is_bound_to(volume, claim):
                continue
            if (claim.get("status") or {}).get("phase") == "Bound" and self._is_attached_at_all(volume):
                yield volume

    def _is_attached_at_all(self, volume: Object) -> bool:
        csi = attachments.source(volume)
        driver = self._drivers.get(csi.get("driver") or "")
        return bool(csi) and (driver is None or driver["spec"].get("attachRequired") is not False)

    def _own(self, node: str) -> list[Object]:
        shown = self._attachments.by_index(_OF_NODE, node)
        return shown + [each for each in self._made.values() if each["spec"]["nodeName"] == node]

    def _others(self, volume: str, node: str) -> list[str]:
        held = [*self._attachments.by_index(_OF_VOLUME, volume)]
        held += [each for each in self._made.values() if attachments.volume_of(each) == volume]
        return sorted({each["spec"]["nodeName"] for each in held} - {node})

    def _since_unwanted(self, name: str) -> float:
        now = self._clock.monotonic()
        return now - self._unwanted.setdefault(name, now)

    async def _attach(self, volume: Object, node: str, users: Iterable[Object]) -> None:
        body = render_attachment(volume, node)
        self._made[objects.name(body)] = body
        try:
            await self._client.create(VOLUMEATTACHMENTS, body)
        except BaseException as error:
            self._made.pop(objects.name(body), None)
            if not isinstance(error, ApiError):
                raise
            if not is_already_exists(error):
                text = f"kubernetes.io/csi: attacher.Attach failed: {error.message}"
                self._say_unattached(objects.name(volume), users, text, f"{objects.name(body)}/{text}")
                raise

    async def _report(self, node: Object, report: tuple[Object, ...]) -> None:
        if [*report] != ((node.get("status") or {}).get("volumesAttached") or []):
            body = {"metadata": {"uid": objects.uid(node)}, "status": {"volumesAttached": [*report]}}
            try:
                await self._client.patch(NODES, objects.name(node), body, subresource="status")
            except ApiError as error:
                # The node went, or came again as another one.
                if not is_not_found(error) and not is_conflict(error):
                    raise

    async def _detach(self, detachment: Detachment, node: Object | None) -> None:
        """The node was told first that it has the volume no more; a mount that it began before shows by now."""
        attachment = detachment.attachment
        if not detachment.forced and node is not None and await self._is_mounted(attachment):
            self._queue.add_after(objects.name(node), 1.0)
            return
        try:
            await self._client.delete(VOLUMEATTACHMENTS, objects.name(attachment), uid=objects.uid(attachment))
        except ApiError as error:
            if not is_not_found(error) and not is_conflict(error):
                raise

    async def _is_mounted(self, attachment: Object) -> bool:
        """Asked of the API itself (operation_generator.go: verifyVolumeIsSafeToDetach)."""
        volume = self._volumes.get(attachments.volume_of(attachment))
        if volume is None:
            return False
        try:
            node = await self._client.get(NODES, attachment["spec"]["nodeName"])
        except ApiError as error:
            if is_not_found(error):
                return False
            raise
        return attachments.unique_name(volume) in ((node.get("status") or {}).get("volumesInUse") or ())

    def _say_of_attaching(self, wanted: dict[str, Wanted], own: list[Object], plan: NodePlan) -> None:
        for name in plan.fresh:
            for pod in wanted[name].pods if name in wanted else ():
                text = f'AttachVolume.Attach succeeded for volume "{name}" '
                self._recorder.event(pod, "Normal", "SuccessfulAttachVolume", text)
        for attachment in own:
            if attachments.is_attached(attachment):
                self._awaited.pop(objects.name(attachment), None)

    def _say_refused(self, wanted: dict[str, Wanted], plan: NodePlan) -> None:
        """Once for each pod, as upstream."""
        for name, nodes in (plan.refused or {}).items():
            others = [pod for node in nodes for pod in self._users(name, node)]
            for pod in wanted[name].pods:
                self._tell(pod, "FailedAttachVolume", multi_attach_text(name, pod, others), f"multi-attach/{name}")

    def _users(self, volume: str, node: str) -> list[Object]:
        found = [pod for pod in self._pods.by_index(BY_NODE, node) if needs_volume(pod)]
        return [pod for pod in found if any(objects.name(each) == volume for each in self._attachable(pod))]

    def _say_failed(self, wanted: dict[str, Wanted], own: list[Object]) -> None:
        """What the driver says of itself, and that it says nothing."""
        now = self._clock.monotonic()
        for attachment in own:
            name, volume = objects.name(attachment), attachments.volume_of(attachment)
            if volume not in wanted or objects.is_deleting(attachment) or attachments.is_attached(attachment):
                continue
            error = (attachment.get("status") or {}).get("attachError") or {}
            text, once = error.get("message") or "", str(error.get("time"))
            since = self._awaited.setdefault(name, now)
            if not text and now - since >= ATTACH_TIMEOUT:
                self._awaited[name] = now
                handle, once = attachments.source(wanted[volume].volume).get("volumeHandle"), f"timeout at {now}"
                text = f"timed out waiting for external-attacher of {attachment['spec']['attacher']} CSI driver"
                text += f" to attach volume {handle}"
            if text:
                self._say_unattached(volume, wanted[volume].pods, text, f"{name}/{once}")

    def _say_unattached(self, volume: str, users: Iterable[Object], text: str, once: str) -> None:
        for pod in users:
            self._tell(pod, "FailedAttachVolume", f'AttachVolume.Attach failed for volume "{volume}" : {text}', once)

    def _is_awaited(self, own: Iterable[Object], wanted: dict[str, Wanted]) -> bool:
        return any(attachments.volume_of(each) in wanted and not attachments.is_attached(each) for each in own)

    def _tell(self, pod: Object, reason: str, text: str, once: str) -> None:
        if (objects.uid(pod), once) not in self._told:
            self._told.add((objects.uid(pod), once))
            self._recorder.event(pod, "Warning", reason, text)

    def _wake_node(self, node: Object) -> None:
        self._queue.add(objects.name(node))

    def _node_changed(self, old: Object, new: Object) -> None:
        if _facts(old) != _facts(new):
            self._wake_node(new)

    def _attachment_changed(self, attachment: Object) -> None:
        self._made.pop(objects.name(attachment), None)
        self._queue.add(attachment["spec"]["nodeName"])

    def _gone(self, attachment: Object) -> None:
        name = objects.name(attachment)
        for known in (self._made, self._unwanted, self._awaited):
            known.pop(name, None)
        self._told = {each for each in self._told if not each[1].startswith(f"{name}/")}
        self._queue.add(attachment["spec"]["nodeName"])
        # Whoever waits for the volume on another node may have it now.
        volume = self._volumes.get(attachments.volume_of(attachment))
        if volume is not None:
            self._volume_changed(volume)

    def _pod_changed(self, pod: Object) -> None:
        node = pods.node_name(pod)
        if node and (pod.get("spec") or {}).get("volumes"):
            self._queue.add(node)
            if pods.is_terminal(pod) or objects.is_deleting(pod):
                self._told = {each for each in self._told if each[0] != objects.uid(pod)}

    def _claim_changed(self, claim: Object) -> None:
        if (claim.get("status") or {}).get("phase") == "Bound":
            self._wake_users(objects.key(claim))

    def _volume_changed(self, volume: Object) -> None:
        reference = volume["spec"].get("claimRef")
        if reference and attachments.source(volume):
            self._wake_users(f"{reference.get('namespace', '')}/{reference.get('name', '')}")

    def _wake_users(self, claim: str) -> None:
        for pod in self._pods.by_index(BY_CLAIM, claim):
            if pods.node_name(pod):
                self._queue.add(pods.node_name(pod))


def _if_ours(of: Callable[[Object], str]) -> Callable[[Object], tuple[str, ...]]:
    """An index of the VolumeAttachments that a controller like this one made."""
    return lambda each: (of(each),) if attachments.is_controllers(each) else ()


def _facts(node: Object) -> tuple[object, ...]:
    status = node.get("status") or {}
    managed = attachments.MANAGED in objects.annotations(node)
    held = (status.get("volumesInUse"), status.get("volumesAttached"))
    return (managed, *held, is_healthy(node), is_out_of_service(node))
