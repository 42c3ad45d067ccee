"""The query of a list, a watch or a get, read and checked as upstream does it (ListOptions: conversion from a query,
SetListOptionsDefaults, ValidateListOptions).

Ours besides: where a revision may be named exactly, a time in RFC 3339 stands for the newest revision by then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from apimachinery.meta import go_print, status, times
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported

RevisionAt = Callable[[datetime], int]
"""The newest revision at that time. Raises ApiError 400 for a time to come, 410 for one that is not remembered."""


_MOST = 1 << 53  # of what is asked for: more is as good as for ever, and stores count no further
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)


class ListOptions(Struct, frozen=True):
    """`revision` None means that none was named. timeout: seconds, None when not asked for."""

    revision: int | None = None
    match: str = ""
    limit: int = 0
    continue_: str = ""
    send_initial_events: bool | None = None
    bookmarks: bool = False
    timeout: float | None = None


_NEWEST = ListOptions()


def boolean(text: str) -> bool:
    """A boolean of a query, where everything but "0" and "false" is true (Convert_Slice_string_To_bool)."""
    return text != "0" and text.lower() != "false"


def whole_number(text: str) -> int:
    """A number of a query, as Go's ParseInt reads one of 64 bits. Raises ApiError 400."""
    why = "invalid syntax"
    if _WHOLE.fullmatch(text):
        # More digits than any such number has are not looked at: int() refuses thousands of them.
        digits = text.lstrip("+-0")
        number = int(text) if len(digits) < 20 else 1 << 63
        if -(1 << 63) <= number < 1 << 63:
            return number
        why = "value out of range"
    raise status.bad_request(f"strconv.ParseInt: parsing {go_print.quoted(text)}: {why}")


def list_options(query: Mapping[str, str], *, watch: bool, revision_at: RevisionAt) -> ListOptions:
    """Raises ApiError 400, 422, and what `revision_at` raises."""
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    initial = query.get("sendInitialEvents")
    options = ListOptions(
        match=match,
        limit=_number(query, "limit") or 0,
        continue_=query.get("continue", ""),
        send_initial_events=None if initial is None else boolean(initial),
        bookmarks="allowWatchBookmarks" in query and boolean(query["allowWatchBookmarks"]),
        timeout=_number(query, "timeoutSeconds"),
    )
    if watch and options.send_initial_events is None and not match and version in ("", "0"):
        # Without a revision to begin at a watch has always begun with what there is; now it also says where that ends.
        options, match = replace(options, send_initial_events=True, match="NotOlderThan"), "NotOlderThan"
    problems = _watch_problems(options) if watch else _list_problems(version, options)
    if problems:
        raise status.invalid("ListOptions.meta.k8s.io", "", problems)
    timely = match == "Exact" or (watch and not match)
    return replace(options, revision=_revision(version, watch, revision_at if timely else None))


def get_options(query: Mapping[str, str], revision_at: RevisionAt) -> ListOptions:
    """The options of a get: upstream's resourceVersion, and ours of one exact revision or time. Raises as above."""
    if not query:
        return _NEWEST
    if "export" in query and boolean(query["export"]):
        raise status.bad_request("the export parameter, deprecated since v1.14, is no longer supported")
    match = query.get("resourceVersionMatch", "")
    if match not in ("", "Exact", "NotOlderThan"):
        problem = not_supported(Path("resourceVersionMatch"), match, ["Exact", "NotOlderThan", ""])
        raise status.invalid("GetOptions.meta.k8s.io", "", [problem])
    named = {"resourceVersion": query.get("resourceVersion", ""), "resourceVersionMatch": match}
    return list_options(named, watch=False, revision_at=revision_at)


def _revision(text: str, watch: bool, revision_at: RevisionAt | None) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) < 1 << 63:
        return int(text)
    if revision_at is not None and "T" in text:
        try:
            when = times.parse(text)
        except ValueError:
            pass
        else:
            return revision_at(when)
    problem = invalid(Path("resourceVersion"), text, f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if watch:
        raise status.invalid("ListOptions.meta.k8s.io", "", [problem])
    raise status.bad_request(f"invalid resource version: {problem}")


def _watch_problems(options: ListOptions) -> list[Problem]:
    path, problems, match = Path("resourceVersionMatch"), [], options.match
    if options.send_initial_events is not None and match != "NotOlderThan":
        problems.append(forbidden(path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    if match:
        if options.send_initial_events is None:
            text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            problems.append(forbidden(path, text))
        if match != "NotOlderThan":
            problems.append(not_supported(path, match, ["NotOlderThan"]))
        if options.continue_:
            problems.append(forbidden(path, "resourceVersionMatch is forbidden when continue is provided"))
    return problems


def _list_problems(version: str, options: ListOptions) -> list[Problem]:
    path, problems, match = Path("resourceVersionMatch"), [], options.match
    if match:
        if not version:
            problems.append(forbidden(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if options.continue_:
            problems.append(forbidden(path, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            problems.append(not_supported(path, match, ["Exact", "NotOlderThan", ""]))
        if match == "Exact" and version == "0":
            problems.append(forbidden(path, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if options.send_initial_events is not None:
        problems.append(forbidden(Path("sendInitialEvents"), "sendInitialEvents is forbidden for list"))
    return problems


def _number(query: Mapping[str, str], key: str) -> int | None:
    return max(0, min(whole_number(query[key]), _MOST)) if key in query else None
