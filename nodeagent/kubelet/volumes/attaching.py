"""Waiting until the controllers have attached a disk to this node (VerifyControllerAttachedVolume, WaitForAttach).

First the node says that it uses the volume: then nobody detaches it. Only then does it believe that it has it.
"""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import NODES, VOLUMEATTACHMENTS
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.meta import attachments
from apimachinery.meta.attachments import DISK_DRIVER
from apimachinery.meta.status import ApiError

Object = dict[str, Any]


class NotAttached(Exception):
    """Not yet; the text says which step is waited for. Nobody is told of it before two minutes have passed."""


class AttachmentReader:
    """Asks the API: a node may read itself, and the VolumeAttachments of its volumes."""

    def __init__(self, client: Client | None, node: str) -> None:
        self._client, self._node = client, node

    async def device_path(self, volume: Object) -> str:
        """Where the driver says that the disk is, "" when it does not. Raises NotAttached."""
        if self._client is None:
            raise NotAttached("this kubelet has no API server")
        name = attachments.attachment_name(attachments.disk_of(volume), DISK_DRIVER, self._node)
        try:
            node = await self._client.get(NODES, self._node)
            check_node(node, attachments.unique_name(volume))
            attachment = await self._client.get(VOLUMEATTACHMENTS, name)
        except (ApiError, ApiUnreachable) as error:
            raise NotAttached(str(error)) from error
        if not attachments.is_attached(attachment):
            raise NotAttached(f"volume attachment {name} is not attached")
        metadata = (attachment.get("status") or {}).get("attachmentMetadata") or {}
        return str(metadata.get("devicePath") or "")


def check_node(node: Object, unique: str) -> None:
    """Raises NotAttached, with upstream's words. Pure."""
    status = node.get("status") or {}
    if unique not in (status.get("volumesInUse") or ()):
        raise NotAttached("Volume has not been added to the list of VolumesInUse in the node's volume status")
    if unique not in {each.get("name") for each in status.get("volumesAttached") or ()}:
        raise NotAttached("volume not attached according to node status")
