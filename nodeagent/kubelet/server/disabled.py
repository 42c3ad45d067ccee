"""What is left of the endpoints that reach into containers where enableDebuggingHandlers is false."""

from __future__ import annotations

from aiohttp import web

_PLACES = ("run", "exec", "attach", "portForward", "containerLogs", "runningpods", "debug/pprof", "logs")


def add_routes(route: web.UrlDispatcher) -> None:
    for place in _PLACES:
        route.add_route("*", f"/{place}/{{rest:.*}}", _refuse)


async def _refuse(_: web.Request) -> web.Response:
    return web.Response(status=405, text="Debug endpoints are disabled.\n")
