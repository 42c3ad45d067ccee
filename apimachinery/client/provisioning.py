"""What every dynamic provisioner does with the PersistentVolumes that it makes."""

from __future__ import annotations

from typing import Any

from apimachinery.api.catalogue import PERSISTENTVOLUMES
from apimachinery.client.rest import Client
from apimachinery.meta import objects
from apimachinery.meta.provisioning import FINALIZER, without_finalizer
from apimachinery.meta.status import ApiError, is_already_exists, is_not_found

Object = dict[str, Any]


async def create_volume(client: Client, volume: Object) -> None:
    """Make a PersistentVolume; one that is there already is it. Raises ApiError, ApiUnreachable."""
    try:
        await client.create(PERSISTENTVOLUMES, volume)
    except ApiError as error:
        if not is_already_exists(error):
            raise


async def forget_volume(client: Client, volume: Object) -> None:
    """Nothing is behind the volume any more: let it go. Raises ApiError, ApiUnreachable."""
    try:
        await client.update(PERSISTENTVOLUMES, without_finalizer(volume, FINALIZER))
        await client.delete(PERSISTENTVOLUMES, objects.name(volume), uid=objects.uid(volume))
    except ApiError as error:
        if not is_not_found(error):
            raise
