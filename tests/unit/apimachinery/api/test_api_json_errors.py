"""What Go says of text that is no JSON object."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.api.validation import validate_create
from apimachinery.api.validation.json_errors import object_error

_NO_MAP = "json: cannot unmarshal {} into Go value of type map[string]interface {{}}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{}", None),
        (b' {"a": [1, {"b": null}, [], {}]} ', None),
        (b"null", None),
        (b'{"a":1e400}', None),
        (b'{"a":"\xff"}', None),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, None),
        (b"", "unexpected end of JSON input"),
        (b'{"a":"b', "unexpected end of JSON input"),
        (b"[[", "unexpected end of JSON input"),
        (b"eyJhdXRocyI6e319", "invalid character 'e' looking for beginning of value"),
        (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"{}\n{}", "invalid character '{' after top-level value"),
        (b'{"a":"\x01"}', "invalid character '\\x01' in string literal"),
        (b'{"a":"\n"}', "invalid character '\\n' in string literal"),
        (b'{"a":"\\x"}', "invalid character 'x' in string escape code"),
        (b'{"a":"\\u12g4"}', "invalid character 'g' in \\u hexadecimal character escape"),
        (b'{"a":-}', "invalid character '}' in numeric literal"),
        (b'{"a":1.}', "invalid character '}' after decimal point in numeric literal"),
        (b'{"a":1e+}', "invalid character '}' in exponent of numeric literal"),
        (b"trux", "invalid character 'x' in literal true (expecting 'e')"),
        (b"[" * 20_000, "exceeded max depth"),
        (b"[]", _NO_MAP.format("array")),
        (b'"a"', _NO_MAP.format("string")),
        (b"1", _NO_MAP.format("number")),
        (b"1e400", _NO_MAP.format("number")),
        (b"true", _NO_MAP.format("bool")),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_go_says(text, expected):
    assert object_error(text) == expected


@given(st.text(alphabet='{}[]:,"\\ \n-.eE019truefalsn' + string.ascii_lowercase, max_size=24))
def test_the_same_texts_are_refused_as_elsewhere(text):
    try:
        value = json.loads(text)
    except ValueError:
        assert object_error(text.encode()) is not None
    else:
        assert (object_error(text.encode()) is None) == (value is None or isinstance(value, dict))


def test_registry_credentials_that_are_no_json():
    secret = CATALOGUE.by_kind("v1", "Secret")
    assert secret is not None
    metadata = {"name": "a", "namespace": "default"}
    obj = {"metadata": metadata, "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "ZXlK"}}
    assert [str(problem) for problem in validate_create(secret, obj)] == [
        'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '
        "invalid character 'e' looking for beginning of value"
    ]
