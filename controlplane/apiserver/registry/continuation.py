"""Continue tokens: where in which snapshot a list goes on (k8s.io/apiserver/pkg/storage/continue.go).

A token is base64url without padding of {"v": "meta.k8s.io/v1", "rv": REVISION, "start": KEY below the collection}. A
revision of -1 goes on in the newest snapshot: the remainder of a list whose own snapshot has been compacted.
"""

from __future__ import annotations

import base64
import posixpath
import re

import orjson

from apimachinery.api.validation.json_errors import object_error
from apimachinery.meta import status

_VERSION = "meta.k8s.io/v1"
_NO_LONGER = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


def read_continue(token: str, prefix: str) -> tuple[int, str]:
    """The revision (-1: the newest) and the key below `prefix` to begin at. Raises ApiError 400."""
    try:
        if not token.isascii() or len(token) % 4 == 1:
            raise ValueError
        decoded = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        good = re.match(r"[\w-]*", token, re.ASCII)
        position = good.end() if good and good.end() < len(token) else len(token.encode()) // 4 * 4
        raise _malformed(f": illegal base64 data at input byte {position}") from None
    try:
        found = orjson.loads(decoded)
    except ValueError:
        raise _malformed(f": {object_error(decoded) or 'invalid UTF-8'}") from None
    if not isinstance(found, dict):
        raise _malformed(f": {object_error(decoded)}".replace("map[string]interface {}", "storage.continueToken"))
    version, revision, start = found.get("v", ""), found.get("rv", 0), found.get("start", "")
    if version != _VERSION:
        raise status.bad_request(
            "invalid continue token: continue key is not valid: server does not recognize this encoded version "
            f"{version if isinstance(version, str) else ''}"
        )
    if type(revision) is not int or not -1 <= revision < 1 << 63 or revision == 0:
        raise _malformed(f": incorrect encoded start resourceVersion (version {_VERSION})")
    if not isinstance(start, str) or not start:
        raise _malformed(f": encoded start key empty (version {_VERSION})")
    rooted = start if start.startswith("/") else "/" + start
    if posixpath.normpath(rooted) != rooted or rooted.startswith("//"):
        raise _malformed(f": {start}")
    return revision, prefix + rooted[1:]


def write_continue(revision: int, last_key: str, prefix: str) -> str:
    """The token to go on after `last_key` in the snapshot `revision`."""
    document = {"v": _VERSION, "rv": revision, "start": last_key.removeprefix(prefix) + "\0"}
    return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()


def no_longer(start: str, prefix: str) -> status.ApiError:
    """410 Expired for a list whose snapshot is gone, with a token for the remainder as it is now."""
    error = status.expired(_NO_LONGER)
    error.continue_ = write_continue(-1, start.removesuffix("\0"), prefix)
    return error


def _malformed(why: str) -> status.ApiError:
    return status.bad_request(f"invalid continue token: continue key is not valid{why}")
