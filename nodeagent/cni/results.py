"""What a plugin returns (SPEC 1.1, "Success" and "ADD Success"), and its forms in earlier versions.

Inside, a result is always a plain dict in the form of 1.0 and later.
"""

from __future__ import annotations

from .errors import DECODING_FAILURE, INCOMPATIBLE_VERSION, CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

SUPPORTED_VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")


def version_tuple(text: str) -> tuple[int, int, int]:
    """Raises CniError for what is no version."""
    parts = text.split(".")
    if len(parts) not in (2, 3) or not all(part.isdecimal() for part in parts):
        raise CniError(DECODING_FAILURE, f"invalid version number: {text!r}")
    numbers = [int(part) for part in parts] + [0]
    return numbers[0], numbers[1], numbers[2]


def check_version(cni_version: str) -> None:
    """Raises CniError for a version of the specification that we do not speak."""
    if cni_version not in SUPPORTED_VERSIONS:
        raise CniError(
            INCOMPATIBLE_VERSION,
            "incompatible CNI versions",
            f'config is "{cni_version}", plugin supports ["{" ".join(SUPPORTED_VERSIONS)}"]',
        )


def for_version(result: Result, cni_version: str) -> Result:
    """The result as a caller speaking `cni_version` expects it: before 1.0 each IP tells its family."""
    out = {**result, "cniVersion": cni_version}
    if version_tuple(cni_version) < (1, 0, 0):
        out["ips"] = [{"version": "6" if ":" in ip["address"] else "4", **ip} for ip in result.get("ips", [])]
    out.setdefault("dns", {})
    return out


def from_previous(config: Result) -> Result | None:
    """The chain's result so far, in today's form; None where the configuration carries none. Raises CniError."""
    previous = config.get("prevResult")
    if previous is None:
        return None
    if not isinstance(previous, dict):
        raise CniError(DECODING_FAILURE, "could not parse prevResult: not an object")
    out = {**previous}
    for key in ("interfaces", "ips", "routes"):
        items = out.get(key) or []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise CniError(DECODING_FAILURE, f"could not parse prevResult: {key} is not a list of objects")
        out[key] = items
    out["ips"] = [{key: value for key, value in ip.items() if key != "version"} for ip in out["ips"]]
    if not all(isinstance(ip.get("address"), str) for ip in out["ips"]):
        raise CniError(DECODING_FAILURE, "could not parse prevResult: an IP has no address")
    return out
