"""The smallest of our images, built once for the session: it needs a compiler, but no network."""

from pathlib import Path

import pytest

from provisioner.images.containers import OciImage, ensure_oci_image
from provisioner.images.recipes import RECIPES


@pytest.fixture(scope="session")
def image_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def pause_image(image_home: Path) -> OciImage:
    return ensure_oci_image(image_home, RECIPES / "oci/pause/image.toml", lambda _: None)
