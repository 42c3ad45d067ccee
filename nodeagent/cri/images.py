"""The image service: what is on the node, pulling, removing, and the file system it fills."""

from __future__ import annotations

from typing import Any

from cri_api.v1.api_pb2_grpc import ImageServiceStub

from . import messages as cri
from .channel import Channel
from .noted import noted

# A pull that makes progress is not cut off by us: containerd has its own progress timeout.
_PULL_TIMEOUT = 3600.0


class ImageService:
    """The runtime.v1.ImageService of one runtime. Errors as in `client`."""

    def __init__(self, channel: Channel, timeout: float = 120.0) -> None:
        self._channel, self._timeout = channel, timeout
        self._stub = ImageServiceStub(channel.grpc)  # type: ignore[no-untyped-call]

    async def _call(self, rpc: Any, request: Any, timeout: float | None = None) -> Any:
        return await self._channel.call(rpc, request, timeout or self._timeout)

    async def list_images(self) -> list[cri.Image]:
        answer: cri.ListImagesResponse = await self._call(self._stub.ListImages, cri.ListImagesRequest())
        return list(answer.images)

    async def status(self, image: str) -> cri.Image | None:
        """The image that a reference or an id names, or None when the node does not have it."""
        request = cri.ImageStatusRequest(image=cri.ImageSpec(image=image))
        answer: cri.ImageStatusResponse = await self._call(self._stub.ImageStatus, request)
        return answer.image if answer.HasField("image") and answer.image.id else None

    async def pull(
        self, image: str, auth: cri.AuthConfig | None = None, sandbox_config: cri.PodSandboxConfig | None = None
    ) -> str:
        """Fetch an image from its registry; returns the reference of what was fetched."""
        request = cri.PullImageRequest(image=cri.ImageSpec(image=image), auth=auth, sandbox_config=sandbox_config)
        made_for = sandbox_config.metadata if sandbox_config is not None else None
        with noted("PullImage", f"{made_for.namespace}/{made_for.name}" if made_for is not None else "", image=image):
            answer = await self._call(self._stub.PullImage, request, _PULL_TIMEOUT)
        return str(answer.image_ref)

    async def remove(self, image: str) -> None:
        """Remove an image. Absent is success."""
        await self._call(self._stub.RemoveImage, cri.RemoveImageRequest(image=cri.ImageSpec(image=image)))

    async def filesystem(self) -> cri.FilesystemUsage | None:
        """Use of the file system that holds the images; None when the runtime does not know yet."""
        answer: cri.ImageFsInfoResponse = await self._call(self._stub.ImageFsInfo, cri.ImageFsInfoRequest())
        return answer.image_filesystems[0] if answer.image_filesystems else None
