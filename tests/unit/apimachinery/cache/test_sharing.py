"""Equal parts of cached objects are one part, and unequal ones never are."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apimachinery.cache import sharing
from apimachinery.cache.sharing import Shared


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [{"image": "a"}], **spec}}


def test_pods_of_one_template_hold_one_list_of_containers() -> None:
    shared, first, second = Shared(), pod("a", nodeName="x"), pod("b", nodeName="y")
    shared.fold(first)
    shared.fold(second)
    assert first == pod("a", nodeName="x")
    assert second == pod("b", nodeName="y")
    assert second["spec"]["containers"] is first["spec"]["containers"]
    assert second["metadata"]["labels"] is first["metadata"]["labels"]
    assert second["spec"] is not first["spec"]


def test_what_differs_in_one_leaf_is_not_shared() -> None:
    shared, first, second = Shared(), pod("a"), pod("b", containers=[{"image": "b"}])
    shared.fold(first)
    shared.fold(second)
    assert second["spec"]["containers"] == [{"image": "b"}]


def test_no_more_is_remembered_than_promised() -> None:
    shared = Shared()
    for number in range(5 * sharing.PARTS_MAX):
        shared.fold(pod("a", containers=[{"image": str(number)}]))
    assert len(shared._parts) <= sharing.PARTS_MAX


_LEAVES = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "1", "true"]) | st.just(1.0)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("ab"), inner))


@given(st.lists(_VALUES))
def test_objects_are_what_they_were(values: list[Any]) -> None:
    shared = Shared()
    for value in values:
        made = {"metadata": {"name": "a"}, "spec": {"field": value}}
        shared.fold(made)
        assert repr(made["spec"]) == repr({"field": value})  # 1, 1.0 and True are equal, and not the same
