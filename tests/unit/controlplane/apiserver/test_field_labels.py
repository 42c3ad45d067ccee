"""Field labels per kind, and that every one of them has a value behind it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.kit.clock import SystemClock
from controlplane.apiserver.registry.field_labels import _LABELS, field_label
from controlplane.apiserver.strategies.table import strategies

_BESIDES: Any = None


def fields(group: str, kind: str) -> set[str]:
    stored = CATALOGUE.by_kind("v1" if kind == "Event" else f"{group}/v1".lstrip("/"), kind)
    assert stored is not None
    choose = strategies(_BESIDES, _BESIDES, _BESIDES, event_ttl=1, rbac=False, now=SystemClock().now)
    return set(choose(stored).fields(cast("dict[str, Any]", {"metadata": {"name": "a"}})))


@pytest.mark.parametrize(("group", "kind"), _LABELS, ids=[kind + group for group, kind in _LABELS])
def test_every_label_has_a_value(group: str, kind: str) -> None:
    # Upstream accepts status.podIPs and gives it no value.
    assert set(_LABELS[group, kind].values()) - {"status.podIPs"} <= fields(group, kind)


def test_what_is_not_known() -> None:
    assert field_label("", "Pod", "spec.host") == "spec.nodeName"
    assert field_label("events.k8s.io", "Event", "regarding.name") == "involvedObject.name"
    with pytest.raises(ValueError, match=r"^field label not supported: spec\.nothing$"):
        field_label("", "Pod", "spec.nothing")
    with pytest.raises(ValueError, match=r"^field label not supported: regarding\.name$"):
        field_label("", "Event", "regarding.name")
    sentence = '^"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"$'
    with pytest.raises(ValueError, match=sentence):
        field_label("", "ConfigMap", "spec.x")
