import pytest

from apimachinery.cache.lister import Lister
from apimachinery.meta.labels import parse_selector


def _pod(name: str, namespace: str = "default", node: str = "", **labels: str) -> dict:
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {"nodeName": node}}


def _names(found: list[dict]) -> list[str]:
    return sorted(obj["metadata"]["name"] for obj in found)


@pytest.fixture
def lister() -> Lister:
    lister = Lister()
    lister.add_index("node", lambda pod: (pod["spec"]["nodeName"],))
    for pod in (_pod("a", node="n1", app="x"), _pod("b", node="n2", app="x"), _pod("c", "other", "n1", app="y")):
        lister.put(pod)
    return lister


def test_by_name_namespace_and_selector(lister: Lister) -> None:
    assert lister.get("a", "default") == _pod("a", node="n1", app="x")
    assert lister.get("a", "other") is None
    assert _names(lister.list()) == ["a", "b", "c"]
    assert _names(lister.list("default")) == ["a", "b"]
    assert _names(lister.list("default", parse_selector("app=x"))) == ["a", "b"]
    assert _names(lister.list(None, parse_selector("app!=x"))) == ["c"]
    assert lister.list("nowhere") == []


def test_indexes_follow_changes_and_removals(lister: Lister) -> None:
    assert _names(lister.by_index("node", "n1")) == ["a", "c"]
    lister.put(_pod("a", node="n2"))
    assert _names(lister.by_index("node", "n1")) == ["c"]
    lister.remove("default/a")
    assert _names(lister.by_index("node", "n2")) == ["b"]
    assert lister.remove("default/a") is None


def test_an_index_added_late_holds_what_was_there(lister: Lister) -> None:
    lister.add_index("app", lambda pod: pod["metadata"]["labels"].values())
    assert _names(lister.by_index("app", "x")) == ["a", "b"]


def test_an_index_nobody_added_is_an_error(lister: Lister) -> None:
    with pytest.raises(KeyError):
        lister.by_index("zone", "z")


def test_keys_except(lister: Lister) -> None:
    assert lister.keys_except({"default/a"}) == ["default/b", "other/c"]
