"""What a command works with: its connections, made when first used."""

from __future__ import annotations

from .settings import Settings, connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import CriClient


class Session:
    """One run of crictl. timeout: seconds for a call. help: print the command's help, returning 0."""

    def __init__(self, settings: Settings, timeout: float, config_path: str, help: Callable[[], int]) -> None:
        self.settings, self.timeout, self.config_path, self.help = settings, timeout, config_path, help
        self._runtime: CriClient | None = None
        self._images: CriClient | None = None

    @property
    def runtime(self) -> CriClient:
        """The runtime service. Raises Failed when it does not answer."""
        if self._runtime is None:
            self._runtime = connect(self.settings.runtime_endpoint, self.timeout, "runtime")
        return self._runtime

    @property
    def images(self) -> CriClient:
        """The image service, usually the same connection. Raises Failed."""
        if self._images is None:
            own = self.settings.image_endpoint
            if not own or own == self.settings.runtime_endpoint:
                self._images = self.runtime
            else:
                self._images = connect(own, self.timeout, "image")
        return self._images
