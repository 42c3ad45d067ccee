"""Bodies: what is read, and what is refused before it costs anything."""

import pytest

from apimachinery.meta.status import ApiError
from controlplane.apiserver.front.decode import MAX_DEPTH, decode, decode_yaml


def test_json_and_yaml_give_the_same_document():
    assert decode(b'{"a":[1,"x"]}', "application/json; charset=utf-8") == decode(b"a: [1, x]\n", "application/yaml")


def test_dates_of_yaml_stay_text():
    assert decode_yaml(b"when: 2024-01-02\n") == {"when": "2024-01-02"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":NaN}',
        b'{"a":1e400}',
        b"\xff",
        b'{"a":"\\ud800"}',
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" * 100_000,
    ],
    ids=["empty", "cut off", "NaN", "1e400", "no UTF-8", "lone surrogate", "too deep", "100000 brackets"],
)
def test_malformed_json_is_400(body):
    with pytest.raises(ApiError) as refused:
        decode(body, "application/json")
    assert refused.value.code == 400


def test_brackets_in_a_text_are_not_depth():
    assert decode(b'{"a":"' + b"[" * 10_000 + b'"}', "application/json") == {"a": "[" * 10_000}


@pytest.mark.parametrize(
    "body",
    [b"a: &x [1]\nb: *x\n", b"a: [", b"a: !!python/object:os.system x\n", b"[" * 5000, b"\x00"],
    ids=["alias", "cut off", "foreign tag", "deep", "NUL"],
)
def test_malformed_yaml_is_400(body):
    with pytest.raises(ApiError) as refused:
        decode(body, "application/yaml")
    assert refused.value.code == 400


def test_another_media_type_is_415():
    with pytest.raises(ApiError) as refused:
        decode(b"<a/>", "text/xml")
    assert refused.value.code == 415
