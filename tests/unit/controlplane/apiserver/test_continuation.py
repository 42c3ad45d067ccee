"""Continue tokens: upstream's form, and forged ones."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from apimachinery.meta.status import ApiError
from controlplane.apiserver.registry.continuation import no_longer, read_continue, write_continue

PREFIX = "/registry/pods/a/"


def token(**fields: Any) -> str:
    document = {"v": "meta.k8s.io/v1", "rv": 7, "start": "x\0", **fields}
    return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()


def test_what_is_written_is_read() -> None:
    written = write_continue(7, PREFIX + "web-1", PREFIX)
    assert read_continue(written, PREFIX) == (7, PREFIX + "web-1\0")
    padded = base64.urlsafe_b64decode(written + "=" * (-len(written) % 4))
    assert orjson.loads(padded) == {"v": "meta.k8s.io/v1", "rv": 7, "start": "web-1\0"}


def test_the_remainder_of_a_list_that_is_gone() -> None:
    error = no_longer(PREFIX + "web-1\0", PREFIX)
    assert (error.code, error.reason) == (410, "Expired")
    assert error.message.endswith("now may show up in the list.")
    found = error.to_status()["metadata"]["continue"]
    assert read_continue(found, PREFIX) == (-1, PREFIX + "web-1\0")


@pytest.mark.parametrize(
    ("forged", "sentence"),
    [
        ("abc", "continue key is not valid: invalid character 'i' looking for beginning of value"),
        ("=", "continue key is not valid: illegal base64 data at input byte 0"),
        ("é", "continue key is not valid: "),
        (
            base64.urlsafe_b64encode(b"[1]").rstrip(b"=").decode(),
            "json: cannot unmarshal array into",
        ),
        (token(v="v2"), "continue key is not valid: server does not recognize this encoded version v2"),
        (token(rv=0), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (token(rv="7"), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (token(rv=-2), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (token(rv=True), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (token(start=""), "encoded start key empty (version meta.k8s.io/v1)"),
        (token(start="../../secrets/x"), "continue key is not valid: ../../secrets/x"),
        (token(start="a/../../b"), "continue key is not valid: a/../../b"),
        (token(start="//x"), "continue key is not valid: //x"),
        (token(start="a//b"), "continue key is not valid: a//b"),
    ],
)
def test_forged(forged: str, sentence: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_continue(forged, PREFIX)
    assert refused.value.code == 400
    assert refused.value.message.startswith("invalid continue token: continue key is not valid")
    assert sentence in refused.value.message
