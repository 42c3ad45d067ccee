"""Bodies: what is read, and what is refused before it costs anything."""

import asyncio
import time

import pytest

from apimachinery.meta.status import ApiError
from controlplane.apiserver.front.decode import MAX_DEPTH, document_of, yaml_of


async def test_json_and_yaml_give_the_same_document():
    assert await document_of(b'{"a":[1,"x"]}', "application/json; charset=utf-8") == await document_of(
        b"a: [1, x]\n", "application/yaml"
    )


async def test_dates_of_yaml_stay_text():
    assert await yaml_of(b"when: 2024-01-02\n") == {"when": "2024-01-02"}


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
async def test_malformed_json_is_400(body):
    with pytest.raises(ApiError) as refused:
        await document_of(body, "application/json")
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b'{"a":}', "invalid character '}' looking for beginning of value ({\"a\":})"),
        (b"x" * 31, f"invalid character 'x' looking for beginning of value ({'78' * 30} ...)"),
        (b"[1]", "json: cannot unmarshal array into Go value of type struct {"),
    ],
    ids=["empty", "cut off", "text", "a list"],
)
async def test_go_says_what_is_wrong(body, why):
    with pytest.raises(ApiError) as refused:
        await document_of(body, "application/json", kind="Pod")
    begins = "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
    assert refused.value.message.startswith(begins + why)
    with pytest.raises(ApiError) as refused:
        await document_of(b"[" + b"1," * 100_000, "application/json", kind="Pod")
    assert "json parse error: " in refused.value.message, "a long one is not looked through"


async def test_brackets_in_a_text_are_not_depth():
    assert await document_of(b'{"a":"' + b"[" * 10_000 + b'"}', "application/json") == {"a": "[" * 10_000}


@pytest.mark.parametrize(
    "body",
    [b"a: &x [1]\nb: *x\n", b"a: [", b"a: !!python/object:os.system x\n", b"[" * 5000, b"\x00"],
    ids=["alias", "cut off", "foreign tag", "deep", "NUL"],
)
async def test_malformed_yaml_is_400(body):
    with pytest.raises(ApiError) as refused:
        await document_of(body, "application/yaml")
    assert refused.value.code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"{" * 100_000,
        b"? " * 50_000,
        b"- " * 50_000,
        b"a: " + b"[" * 3_000_000,
        b'"' + b'\\"' * 1_000_000,
    ],
    ids=["brackets", "braces", "keys", "items", "3 MiB of brackets", "a string without an end"],
)
@pytest.mark.parametrize("media", ["application/json", "application/yaml"])
async def test_what_is_deep_is_refused_at_once(body, media):
    began = time.process_time()
    with pytest.raises(ApiError) as refused:
        await document_of(body, media)
    assert refused.value.code == 400 and time.process_time() - began < 2.0


async def test_json_is_yaml():
    assert await yaml_of(b' {"a": "2024-01-02", "b": [1, {"c": "x"}]}') == {"a": "2024-01-02", "b": [1, {"c": "x"}]}
    assert await yaml_of(b"{a: [1]}") == {"a": [1]}


async def test_another_media_type_is_415():
    with pytest.raises(ApiError) as refused:
        await document_of(b"<a/>", "text/xml")
    assert refused.value.code == 415


async def test_yaml_has_jsons_types():
    body = b"a: 0x10\nb: [yes, ~, .5, '5', !!str 6, 1_000]\n2: two\ntrue: x\n<<: {a: 9, c: 1}\nd: |\n  text\n"
    assert await yaml_of(body) == {
        "a": 16,
        "b": [True, None, 0.5, "5", "6", 1000],
        "2": "two",
        "true": "x",
        "c": 1,
        "d": "text\n",
    }
    assert await yaml_of(b"") is None and await yaml_of(b"a") == "a"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"a: [", "yaml: line 1: did not find expected node content"),
        (b"a: 1\nb: c: d\n", "yaml: line 2: mapping values are not allowed in this context"),
        (b"a: 1\n\tb: 2\n", "yaml: line 2: found a tab character that violates indentation"),
        (b"a: b: c", "yaml: mapping values are not allowed in this context"),
    ],
)
async def test_faults_of_yaml_as_go_tells_them(body, sentence):
    with pytest.raises(ApiError) as refused:
        await yaml_of(body)
    assert refused.value.message == f"error converting YAML to JSON: {sentence}"


@pytest.mark.parametrize(
    ("scalars", "expected"),
    [
        ("12:30, 22:22, 1:30.5", ["12:30", "22:22", "1:30.5"]),
        ("y, N, On, 'y', ye", [True, False, True, "y", "ye"]),
        ("0777, 0o17, 08, 0x1F, -0b11, +5", [511, 15, 8, 31, -3, 5]),
        ("1e3, 1.50e+2, 1e-3, 2.0, -.5, 1e400", [1000, 150, 0.001, 2, -0.5, "1e400"]),
        ("=, 1.2.3, 0x, 1-2, +, ., 2001-01-01", ["=", "1.2.3", "0x", "1-2", "+", ".", "2001-01-01"]),
        ("18446744073709551615, 18446744073709551616, !!int '7'", [18446744073709551615, 1.8446744073709552e19, 7]),
    ],
)
async def test_scalars_of_yaml_are_read_as_go_yaml_reads_them(scalars, expected):
    found = await yaml_of(f"[{scalars}]".encode())
    assert found == expected and [type(each) for each in found] == [type(each) for each in expected]
    assert await yaml_of(b"y: 1\n1.0: 2\n") == {"true": 1, "1": 2}


@pytest.mark.parametrize(("body", "kind"), [(b"- a\n", "array"), (b"a", "string"), (b"2.5", "number")])
async def test_yaml_that_is_no_object(body, kind):
    with pytest.raises(ApiError) as refused:
        await document_of(body, "application/yaml", kind="Pod")
    told = refused.value.message
    start = "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: "
    assert told.startswith(f"{start}json: cannot unmarshal {kind} into Go value of type struct {{ APIVersion string")
    assert told.endswith(f"({body.hex()})")


@pytest.mark.parametrize("more", [b"---\n", b"---\nb: 2\n", b"...\n", b"---\nb: [\n"])
async def test_the_first_document_of_yaml_counts(more):
    assert await yaml_of(b"---\na: 1\n" + more) == {"a": 1}


@pytest.mark.parametrize("body", [b"a: .inf\n", b"a: !!int x\n", b"a: !!binary eA==\n", b"? [a]\n: b\n", b"<<: 1\n"])
async def test_yaml_that_json_cannot_say(body):
    with pytest.raises(ApiError, match="error converting YAML to JSON"):
        await yaml_of(body)


async def test_large_yaml_leaves_the_loop_to_others():
    body = b"data:\n" + b"".join(b"  key-%d: value\n" % number for number in range(40_000))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    document = await document_of(body, "application/yaml")
    counting.cancel()
    assert len(document["data"]) == 40_000 and turns > 10


async def test_keys_that_are_there_twice_are_told_by_their_paths():
    doubled: list[str] = []
    body = b'{"a": {"b": 1, "b": 2}, "l": [{}, {"c": 1, "c": 2, "c": 3}], "a.b": [], "n": 1e30}'
    assert (await document_of(body, "application/json", doubled))["a"] == {"b": 2}, "the last counts"
    assert doubled == ['duplicate field "a.b"', 'duplicate field "l[1].c"']


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"b":{"a":1}}',
        b' {"a" : 1}\n',
        b'{"a":"\\u003c","b":"\\"a\\":1,"}',
        b'{"a":1E2,"b":' + b"9" * 300 + b"}",
    ],
    ids=["compact", "spaced", "escaped", "numbers"],
)
async def test_a_body_without_doubled_keys_is_not_suspected(body):
    doubled: list[str] = []
    await document_of(body, "application/json", doubled)
    assert doubled == []


async def test_yaml_tells_the_lines_of_doubled_keys():
    doubled: list[str] = []
    assert await document_of(b"a: 1\nb:\n- c: 1\n  c: 2\na: 3\n", "application/yaml", doubled) == {
        "a": 3,
        "b": [{"c": 2}],
    }
    lines = ['line 4: key "c" already set in map', 'line 5: key "a" already set in map']
    assert doubled == ["\n  ".join(["yaml: unmarshal errors:", *lines])]
    doubled.clear()
    assert await document_of(b'{"a": 1,\n "a": 2}', "application/yaml", doubled) == {"a": 2}
    assert doubled == ['yaml: unmarshal errors:\n  line 2: key "a" already set in map']


async def test_a_flood_of_doubled_keys_is_cut_off():
    doubled: list[str] = []
    body = b"{" + b",".join(b'"a%d":1,"a%d":2' % (n, n) for n in range(100_000)) + b"}"
    began = time.monotonic()
    await document_of(body, "application/json", doubled)
    assert len(doubled) == 100
    assert time.monotonic() - began < 60, "it takes half a second when nobody is in the way"
