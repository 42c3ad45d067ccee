"""`/logs/`: the node's log directory, as Go's file server shows it (enableSystemLogHandler).

Nothing outside the directory is shown, whatever a path or a link in it says.
"""

from __future__ import annotations

import html
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

LOGS = Path("/var/log")


class SystemLogs:
    """The handler of /logs. root: the directory."""

    def __init__(self, root: Path = LOGS) -> None:
        self._root = root

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/logs", self._moved)
        router.add_get("/logs/{path:.*}", self._show)

    async def _moved(self, _: web.Request) -> web.Response:
        return web.Response(status=301, headers={"Location": "/logs/"})

    async def _show(self, request: web.Request) -> web.StreamResponse:
        asked = request.match_info["path"]
        found = resolve(self._root, asked)
        if found is None:
            return web.Response(status=404, text="404 page not found\n")
        if found.is_dir():
            if asked and not asked.endswith("/"):
                return web.Response(status=301, headers={"Location": f"{quote(found.name)}/"})
            return web.Response(text=listing(found), content_type="text/html", charset="utf-8")
        if asked.endswith("/") or not found.is_file():
            return web.Response(status=404, text="404 page not found\n")
        return web.FileResponse(found, headers={"Content-Type": "text/plain; charset=utf-8"})


def resolve(root: Path, asked: str) -> Path | None:
    """The file that is asked for; None when it is not there or not below `root`, its links followed."""
    if "\0" in asked or ".." in asked.split("/"):
        return None
    try:
        top = root.resolve(strict=True)
        found = (top / asked.lstrip("/")).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return found if found.is_relative_to(top) else None


def listing(folder: Path) -> str:
    """A directory as a page of links."""
    lines = []
    for entry in sorted(folder.iterdir()):
        name = entry.name + ("/" if entry.is_dir() else "")
        lines.append(f'<a href="{quote(name)}">{html.escape(name)}</a>\n')
    return f'<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n{"".join(lines)}</pre>\n'
