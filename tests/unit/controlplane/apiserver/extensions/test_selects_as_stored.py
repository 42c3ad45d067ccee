"""Which versions can be selected by the fields of what is stored, and which only by what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.extensions.version import VersionRules

Object = dict[str, Any]

PLAIN: Object = {"type": "string"}
DEFAULT: Object = {"type": "string", "default": "low"}
AROUND: Object = {"default": {"level": "low"}}
WEBHOOK: Object = {"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://127.0.0.1/convert"}}}


def rules(
    level: Object = PLAIN,
    spec: Object | None = None,
    others: int = 0,
    storage: bool = True,
    settled: bool = True,
    conversion: Object | None = None,
) -> VersionRules:
    below = {"type": "object", "properties": {"level": level, "other": DEFAULT}, **(spec or {})}
    schema = {"type": "object", "properties": {"spec": below}}
    version = {
        "name": "v1",
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "selectableFields": [{"jsonPath": ".spec.level"}],
    }
    definition: Object = {
        "group": "example.com",
        "versions": [version, *({"name": f"v{each}"} for each in range(others))],
    }
    if conversion is not None:
        definition["conversion"] = conversion
    return VersionRules(definition, version, None, settled=settled)  # nothing is converted


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        pytest.param({}, True, id="one version"),
        pytest.param({"others": 1, "storage": False}, True, id="another is stored, in which the paths are the same"),
        pytest.param({"conversion": WEBHOOK, "settled": False}, True, id="a webhook with nothing to convert"),
        pytest.param({"others": 1, "conversion": WEBHOOK, "storage": False}, False, id="a webhook makes it"),
        pytest.param({"others": 1, "conversion": WEBHOOK}, True, id="a webhook makes the others"),
        pytest.param(
            {"others": 1, "conversion": WEBHOOK, "settled": False}, False, id="a webhook, and another may be stored"
        ),
        pytest.param({"level": DEFAULT}, True, id="a default that everything was stored with"),
        pytest.param({"level": DEFAULT, "settled": False}, False, id="a default that may have come later"),
        pytest.param(
            {"level": DEFAULT, "others": 1, "storage": False}, False, id="a default that another version may not have"
        ),
        pytest.param({"spec": AROUND, "settled": False}, False, id="a default around it"),
    ],
)
def test_selects_as_stored(about: Object, expected: bool) -> None:
    assert rules(**about).selects_as_stored is expected
