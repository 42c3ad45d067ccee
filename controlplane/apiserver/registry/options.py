"""The query of a list or a watch, checked as upstream checks it (ValidateListOptions)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apimachinery.meta import status
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported

_TRUE = ("", "1", "t", "T", "true", "TRUE", "True")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """`revision` None means that none was named. timeout: seconds, None when not asked for."""

    revision: int | None = None
    match: str = ""
    limit: int = 0
    continue_: str = ""
    send_initial_events: bool | None = None
    bookmarks: bool = False
    timeout: float | None = None


def list_options(query: Mapping[str, str], *, watch: bool) -> ListOptions:
    """Raises ApiError 400 or 422."""
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    continue_, initial = query.get("continue", ""), query.get("sendInitialEvents")
    if version and not _is_number(version):
        problem = invalid(Path("resourceVersion"), version, f'strconv.ParseUint: parsing "{version}": invalid syntax')
        if watch:
            raise status.invalid("ListOptions.meta.k8s.io", "", [problem])
        raise status.bad_request(str(problem))
    send = None if initial is None else initial in _TRUE
    problems = _watch_problems(match, send) if watch else _list_problems(version, match, continue_, send)
    if problems:
        raise status.invalid("ListOptions.meta.k8s.io", "", problems)
    timeout = query.get("timeoutSeconds", "")
    return ListOptions(
        int(version) if version else None,
        match,
        _number("limit", query.get("limit", "")),
        continue_,
        send,
        "allowWatchBookmarks" in query and query["allowWatchBookmarks"] in _TRUE,
        float(_number("timeoutSeconds", timeout)) if timeout else None,
    )


def _watch_problems(match: str, send: bool | None) -> list[Problem]:
    path = Path("resourceVersionMatch")
    if send is None:
        if match:
            return [forbidden(path, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")]
    elif not match:
        return [forbidden(path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")]
    elif match != "NotOlderThan":
        return [not_supported(path, match, ["NotOlderThan"])]
    return []


def _list_problems(version: str, match: str, continue_: str, send: bool | None) -> list[Problem]:
    path, problems = Path("resourceVersionMatch"), []
    if match:
        if not version:
            problems.append(forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if continue_:
            problems.append(forbidden(path, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            problems.append(not_supported(path, match, ["Exact", "NotOlderThan", ""]))
        if match == "Exact" and version == "0":
            problems.append(forbidden(path, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if send is not None:
        problems.append(forbidden(Path("sendInitialEvents"), "sendInitialEvents is forbidden for list"))
    return problems


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) < 1 << 63


def _number(name: str, text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise status.bad_request(f'{name}: strconv.ParseInt: parsing "{text}": invalid syntax')
    return max(0, int(text))
