"""Images: pulled by policy, one at a time or side by side, with backoff; and thrown away when the disk fills.

The reasons and messages are upstream's (pkg/kubelet/images/image_manager.go).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from apimachinery.kit.backoff import Backoff
from apimachinery.kit.bucket import TokenBucket
from apimachinery.kit.clock import Clock
from apimachinery.meta.go_print import quoted
from apimachinery.meta.times import format_duration
from nodeagent.cri import messages as cri
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.cri.images import ImageService
from nodeagent.kubelet.credential_plugins import CredentialPlugins
from nodeagent.kubelet.credentials import credentials
from nodeagent.kubelet.pods import Container, Pod, uid
from nodeagent.kubelet.references import fault

log = logging.getLogger(__name__)

_AHEAD = 10.0

Say = Callable[[str, str, str], None]
"""(event type, reason, message): an event about the container whose image it is."""


class ImageProblem(Exception):
    """The image is not to be had now. reason: ErrImagePull, ImagePullBackOff, ErrImageNeverPull, InvalidImageName …"""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class TooManyPulls(RuntimeCallError):
    """More pulls were begun lately than registryPullQPS allows; the runtime was not asked."""

    def __init__(self) -> None:
        super().__init__("PullImage", "RESOURCE_EXHAUSTED", "pull QPS exceeded")

    def __str__(self) -> str:
        return self.message


class SeveralFailed(RuntimeCallError):
    """No credentials were good enough; the text lists what each was answered."""

    def __init__(self, problems: Sequence[RuntimeCallError]) -> None:
        super().__init__(problems[-1].method, problems[-1].code, problems[-1].message)
        self._text = f"[{', '.join(dict.fromkeys(map(str, problems)))}]"

    def __str__(self) -> str:
        return self._text


def with_default_tag(image: str) -> str:
    """`nginx` is `nginx:latest`; a digest or a tag stays."""
    if "@" in image or ":" in image.rpartition("/")[2]:
        return image
    return f"{image}:latest"


def pull_policy(container: Mapping[str, Any]) -> str:
    """The container's pull policy, or the API's default for its image."""
    asked = container.get("imagePullPolicy")
    if asked:
        return str(asked)
    return "Always" if with_default_tag(container["image"]).endswith(":latest") else "IfNotPresent"


class ImageManager:
    """Sees to it that a container's image is on the node.

    serialize: one pull at a time on this node; otherwise `parallel` at most, None for any number. pace: how many are
    begun, None for any number; one too many fails. docker_configs: the node's own credentials, beside those of pods.
    plugins: asked for more.
    """

    def __init__(
        self,
        images: ImageService,
        clock: Clock,
        *,
        serialize: bool = True,
        parallel: int | None = None,
        pace: TokenBucket | None = None,
        docker_configs: Sequence[Path] = (),
        plugins: CredentialPlugins | None = None,
    ) -> None:
        self._images, self._clock, self._docker_configs, self._plugins = images, clock, docker_configs, plugins
        self._backoff = Backoff(10.0, 300.0, clock)
        self._pace = pace
        self._slots = asyncio.Semaphore(1 if serialize else parallel or sys.maxsize)
        self._last_failure: dict[str, str] = {}
        self.handed_out: dict[str, float] = {}
        self._ahead: dict[tuple[str, str], tuple[cri.Image, float]] = {}

    async def look_ahead(self, pod: Pod, containers: Iterable[Container]) -> None:
        """Ask for images that should be there, while the sandbox is being made. Never raises: `ensure` asks again."""
        for container in containers:
            asked = container.get("image") or ""
            if fault(asked) is not None or pull_policy(container) == "Always":
                continue
            image = with_default_tag(asked)
            with contextlib.suppress(RuntimeCallError):
                present = await self._images.status(image)
                if present is not None:
                    self.handed_out[present.id] = self._clock.monotonic()
                    now = self._clock.monotonic()
                    self._ahead = {key: held for key, held in self._ahead.items() if now - held[1] < _AHEAD}
                    self._ahead[uid(pod), image] = present, now

    def _seen_ahead(self, pod: Pod, image: str) -> cri.Image | None:
        """What `look_ahead` saw for the pod a moment ago; good for one use."""
        present, at = self._ahead.pop((uid(pod), image), (None, 0.0))
        return present if self._clock.monotonic() - at < _AHEAD else None

    async def ensure(
        self,
        pod: Pod,
        container: Container,
        say: Say,
        secrets: Sequence[Mapping[str, Any]],
        sandbox_config: cri.PodSandboxConfig,
    ) -> cri.Image:
        """The image for a container, pulled if its policy says so. Raises ImageProblem, RuntimeUnreachable."""
        asked = container.get("image") or ""
        if (why := fault(asked)) is not None:
            message = f'Failed to apply default image tag "{asked}": couldn\'t parse image name "{asked}": {why}'
            say("Warning", "InspectFailed", message)
            raise ImageProblem("InvalidImageName", message)
        image, policy = with_default_tag(asked), pull_policy(container)
        try:
            present = self._seen_ahead(pod, image) or await self._images.status(image)
        except RuntimeCallError as error:
            message = f'Failed to inspect image "{asked}": {error}'
            say("Warning", "InspectFailed", message)
            raise ImageProblem("ImageInspectError", message) from error
        if present is not None and policy != "Always":
            self.handed_out[present.id] = self._clock.monotonic()
            say("Normal", "Pulled", f'Container image "{asked}" already present on machine')
            return present
        if present is None and policy == "Never":
            message = f'Container image "{asked}" is not present with pull policy of Never'
            say("Warning", "ErrImageNeverPull", message)
            raise ImageProblem("ErrImageNeverPull", message)
        return await self._pull(pod, asked, say, secrets, sandbox_config)

    async def _pull(
        self,
        pod: Pod,
        asked: str,
        say: Say,
        secrets: Sequence[Mapping[str, Any]],
        sandbox_config: cri.PodSandboxConfig,
    ) -> cri.Image:
        image = with_default_tag(asked)
        key = f"{uid(pod)}_{image}"
        if self._backoff.remaining(key) > 0:
            message = f'Back-off pulling image "{asked}"'
            say("Normal", "BackOff", message)
            # What went wrong is told as long as it is waited for.
            failure = self._last_failure.get(key)
            raise ImageProblem("ImagePullBackOff", f"{message}: {failure}" if failure else message)
        self._last_failure.pop(key, None)
        say("Normal", "Pulling", f'Pulling image "{asked}"')
        started = self._clock.monotonic()
        try:
            async with self._slots:
                began = self._clock.monotonic()
                if self._pace is not None and not self._pace.take():
                    raise TooManyPulls
                known = await self._plugins.auths(image) if self._plugins is not None else ()
                auths = credentials(image, secrets, self._docker_configs, known)
                reference = await self._try_each(image, auths, sandbox_config)
        except RuntimeCallError as error:
            self._backoff.forget_idle()  # those of pods that are gone
            self._last_failure = {each: told for each, told in self._last_failure.items() if self._backoff.delay(each)}
            self._backoff.next(key)
            self._last_failure[key] = f"ErrImagePull: {error}"
            log.error('"Failed to pull image" err=%s image=%s', quoted(str(error)), quoted(image))
            say("Warning", "Failed", f'Failed to pull image "{asked}": {error}')
            raise ImageProblem("ErrImagePull", str(error)) from error
        self._backoff.reset(key)
        ended = self._clock.monotonic()
        found = await self._images.status(reference) or await self._images.status(image)
        if found is None:
            raise ImageProblem("ErrImagePull", f'image "{asked}" vanished after it was pulled')
        took, waited = _milliseconds(ended - began), _milliseconds(ended - started)
        say(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{asked}" in {took} ({waited} including waiting). '
            f"Image size: {found.size} bytes.",
        )
        self.handed_out[found.id] = self._clock.monotonic()
        return found

    async def _try_each(self, image: str, auths: list[cri.AuthConfig], sandbox_config: cri.PodSandboxConfig) -> str:
        """Pull with one identity after the other. Raises RuntimeCallError, of several failures with all their texts."""
        problems: list[RuntimeCallError] = []
        choices: list[cri.AuthConfig | None] = [*auths]
        for auth in choices or [None]:
            try:
                return await self._images.pull(image, auth, sandbox_config)
            except RuntimeCallError as error:
                problems.append(error)
        if len(problems) == 1:
            raise problems[0]
        raise SeveralFailed(problems)

    def retry_in(self, pod: Pod, container: Container) -> float:
        """Seconds until a pull that failed may be tried again."""
        return self._backoff.remaining(f"{uid(pod)}_{with_default_tag(container.get('image') or '')}")


def _milliseconds(duration: float) -> str:
    """As Go shows a duration that is cut off after the milliseconds."""
    return format_duration(math.floor(duration * 1000) / 1000)
