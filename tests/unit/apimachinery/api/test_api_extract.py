"""Extraction of the schema from its source package."""

from apimachinery.api import extract


def test_a_node_is_brought_back_to_upstreams_form():
    descriptions: dict[str, str] = {}
    source = {
        "description": "a thing",
        "type": ["object", "null"],
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["x"], "description": "its type"},
            "other": {"$ref": "#/$defs/io.k8s.Other"},
            "list": {"type": ["array", "null"], "items": {"type": ["integer", "null"], "description": "one"}},
        },
        "required": ["type"],
    }
    assert extract.restore(source, descriptions, "Thing") == {
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "other": {"$ref": "io.k8s.Other"},
            "list": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["type"],
    }
    assert descriptions == {"Thing": "a thing", "Thing/type": "its type", "Thing/list/*": "one"}


def test_a_definition_that_the_catalogue_needs_is_missed():
    missing = extract.check({})
    assert "v1 Pod" in missing and "apps/v1 Deployment" in missing


def test_the_source_is_installed_for_the_build():
    assert extract.source_file().name == "_definitions.json"
