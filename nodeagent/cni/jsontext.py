"""JSON by the interpreter's C scanner and encoder alone.

`import json` brings in `re` and doubles the start-up time of a plugin; the C halves of it do all the work for input
without a fault. Input with a fault imports the rest, for the message.
"""

from __future__ import annotations

import _json


class _Scanner:
    """What the C scanner wants to know of its decoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}


_scan = _json.make_scanner(_Scanner())  # type: ignore[arg-type]
_encode = _json.make_encoder(
    None, lambda value: _refuse(value), _json.encode_basestring_ascii, None, ": ", ", ", False, False, False
)
_SPACE = " \t\n\r"


def loads(data: bytes) -> object:
    """The value that `data` (UTF-8) holds. Raises ValueError saying what is wrong and where."""
    text = data.decode().strip(_SPACE)
    try:
        value, end = _scan(text, 0)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (StopIteration, SystemError):
        # The scanner tells its reasons through the rest of the json package, which is not loaded.
        raise ValueError(_fault(text)) from None
    if end != len(text):
        raise ValueError(f"more than one JSON value, the second at character {end}")
    result: object = value
    return result


def dumps(value: object) -> bytes:
    return "".join(_encode(value, 0)).encode()


def _fault(text: str) -> str:
    import json

    try:
        json.loads(text)
    except ValueError as error:
        return str(error)
    return "not JSON"


def _refuse(value: object) -> object:
    raise TypeError(f"not JSON: {value!r}")
