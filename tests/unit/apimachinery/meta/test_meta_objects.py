"""Reading metadata."""

import pytest

from apimachinery.meta import objects

_POD = {"metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"a": "b"}, "resourceVersion": "7"}}


def test_read():
    assert objects.name(_POD) == "p"
    assert objects.namespace(_POD) == "ns"
    assert objects.uid(_POD) == "u"
    assert objects.labels(_POD) == {"a": "b"}
    assert objects.annotations(_POD) == {}
    assert objects.resource_version(_POD) == "7"
    assert objects.key(_POD) == "ns/p"
    assert not objects.is_deleting(_POD)


@pytest.mark.parametrize("empty", [{}, {"metadata": None}, {"metadata": {"labels": None}}])
def test_what_is_absent_reads_as_empty(empty):
    assert objects.name(empty) == objects.namespace(empty) == objects.uid(empty) == ""
    assert objects.labels(empty) == {}


def test_keys():
    assert objects.key({"metadata": {"name": "n1"}}) == "n1"
    assert objects.split_key("ns/p") == ("ns", "p")
    assert objects.split_key("n1") == ("", "n1")
    with pytest.raises(ValueError, match='unexpected key format: "a/b/c"'):
        objects.split_key("a/b/c")


def test_deleting():
    assert objects.is_deleting({"metadata": {"deletionTimestamp": "2024-01-02T03:04:05Z"}})
