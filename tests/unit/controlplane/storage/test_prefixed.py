"""--etcd-prefix."""

from __future__ import annotations

import pytest

from controlplane.apiserver.storage.keys import ROOT, root


@pytest.mark.parametrize("text", ["/registry", "registry", "/registry/", "//registry//"])
def test_the_usual_one(text: str) -> None:
    assert root(text) == ROOT


@pytest.mark.parametrize(("text", "found"), [("", "/"), ("/", "/"), ("a/b", "/a/b/"), ("/a//b/../c", "/a/c/")])
def test_others(text: str, found: str) -> None:
    assert root(text) == found
