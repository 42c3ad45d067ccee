"""Write ``images/guest/requirements.lock`` from ``requirements.in``: ``python -m provisioner.images.lock``.

The lock pins every wheel for the guest's interpreter by version and SHA-256 and names no index: pip asks the one that
this machine is set up for.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from provisioner.images.recipes import RECIPES
from provisioner.images.tools import run_tool
from provisioner.images.wheels import pip_target_options


def render_lock(report: dict[str, Any]) -> str:
    """requirements.txt with hashes out of pip's installation report (format version 1)."""
    lines = []
    for item in report["install"]:
        name, version = item["metadata"]["name"].lower().replace("_", "-"), item["metadata"]["version"]
        lines.append(f"{name}=={version} --hash=sha256:{item['download_info']['archive_info']['hashes']['sha256']}")
    return "# Made by python -m provisioner.images.lock from requirements.in.\n" + "\n".join(sorted(lines)) + "\n"


def main(folder: Path = RECIPES / "guest") -> None:
    output = run_tool(
        sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-",
        "--target", "/nonexistent", *pip_target_options(), "-r", folder / "requirements.in",
    )  # fmt: skip
    (folder / "requirements.lock").write_text(render_lock(json.loads(output)))


if __name__ == "__main__":
    main()
