import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.storage.served import renumbered, with_resource_version

CASES = {
    "usual": (
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{}}',
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"a"},"spec":{}}',
    ),
    "version first": (
        b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}',
        b'{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"7","name":"a"}}',
    ),
    "empty metadata": (b'{"metadata":{}}', b'{"metadata":{"resourceVersion":"7"}}'),
    "no metadata": (b'{"kind":"Pod"}', b'{"kind":"Pod","metadata":{"resourceVersion":"7"}}'),
    "metadata last": (
        b'{"spec":{"metadata":{"x":1}},"metadata":{"name":"a"}}',
        b'{"spec":{"metadata":{"x":1}},"metadata":{"name":"a","resourceVersion":"7"}}',
    ),
    "another one inside": (
        b'{"kind":"Event","metadata":{"name":"a"},"involvedObject":{"resourceVersion":"3"}}',
        b'{"kind":"Event","metadata":{"name":"a","resourceVersion":"7"},"involvedObject":{"resourceVersion":"3"}}',
    ),
    "an old one": (b'{"metadata":{"resourceVersion":"3"}}', b'{"metadata":{"resourceVersion":"7"}}'),
}


@pytest.mark.parametrize(("stored", "served"), CASES.values(), ids=CASES)
def test_cases(stored: bytes, served: bytes) -> None:
    assert with_resource_version(stored, 7) == served


@pytest.mark.parametrize("value", [b"", b"by hand", b"[]", b"1", b'{"metadata":[]}', b'{"metadata":null}'])
def test_no_api_object(value: bytes) -> None:
    with pytest.raises(ValueError):
        with_resource_version(value, 7)


TEXT = st.text(max_size=8) | st.sampled_from(['"metadata":{', '"resourceVersion"', "\\", '",'])
OBJECTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("kind", "apiVersion", "spec"), TEXT) | {"metadata": st.dictionaries(TEXT, TEXT)}
).flatmap(lambda tree: st.permutations(list(tree.items())).map(dict))


@given(OBJECTS, st.integers(1, 2**63 - 1))
def test_only_the_resource_version_differs(tree: dict[str, object], revision: int) -> None:
    served = orjson.loads(with_resource_version(orjson.dumps(tree), revision))
    expected = {**tree, "metadata": {**tree.get("metadata", {}), "resourceVersion": str(revision)}}
    assert served == expected


def test_another_revision_takes_the_place_of_the_first() -> None:
    for value in (
        b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"data":{"x":"1"}}',
        b'{"metadata":{}}',
        b'{"metadata":{"annotations":{"a":"\\"resourceVersion\\":\\"7\\""}}}',
        b'{"spec":{"resourceVersion":"9"},"metadata":{"name":"a"}}',
    ):
        served = with_resource_version(value, 5)
        assert orjson.loads(renumbered(served, 123)) == orjson.loads(with_resource_version(value, 123))
