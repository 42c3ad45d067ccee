"""`python -m apimachinery.api.extract`: write the API's schema to `apimachinery/api/data/` (run by setup.py).

Source: `_definitions.json` of the PyPI package kubernetes-validate, a JSON Schema rendering of Kubernetes 1.32's
OpenAPI document. What that rendering changed is undone here: optional types had been made nullable, references pointed
to `$defs`, apiVersion and kind had become enumerations. Two files come out: `definitions.json` (structure only: what
the API server checks against) and `descriptions.json` (the prose, read only when an OpenAPI document is asked for).
The daemons never import the source package.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import orjson

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.kit.files import write_atomic

RELEASE = "v1.32.0"
DATA = Path(__file__).parent / "data"

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


class SourceMissing(Exception):
    """The package to extract from is not installed, or is not what it used to be."""


def source_file() -> Path:
    """Where the definitions lie on this machine. Raises SourceMissing, saying what to install."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise SourceMissing("the package kubernetes-validate is not installed")
    found = Path(spec.origin).parent / "kubernetes-json-schema" / f"{RELEASE}-local" / "_definitions.json"
    if not found.is_file():
        raise SourceMissing(f"the installed kubernetes-validate has no definitions of {RELEASE}: {found} is missing")
    return found


def restore(schema: dict[str, Any], descriptions: dict[str, str], place: str) -> dict[str, Any]:
    """The upstream form of one schema node; its prose goes to `descriptions` under `place`."""
    out: dict[str, Any] = {}
    for key, value in schema.items():
        match key:
            case "description":
                descriptions[place] = value
            case "enum":
                continue  # only apiVersion and kind have one, and upstream has none there
            case "type" if isinstance(value, list):
                out["type"] = next(word for word in value if word != "null")
            case "$ref":
                out["$ref"] = value.removeprefix("#/$defs/")
            case "properties":
                out[key] = {name: restore(inner, descriptions, f"{place}/{name}") for name, inner in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                out[key] = restore(value, descriptions, f"{place}/*")
            case _:
                out[key] = value
    return out


def restore_all(source: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """All definitions and all descriptions, from the source document's `$defs`."""
    descriptions: dict[str, str] = {}
    definitions = {name: restore(schema, descriptions, name) for name, schema in sorted(source.items())}
    # These two decode from more than one JSON type; upstream publishes them as strings with a format of their own.
    definitions[_QUANTITY] = {"type": "string"}
    definitions[_INT_OR_STRING] = {"type": "string", "format": "int-or-string"}
    return definitions, descriptions


def check(definitions: dict[str, Any]) -> list[str]:
    """What the catalogue serves and the definitions do not hold: must be empty."""
    held = {
        (each["group"], each["version"], each["kind"])
        for schema in definitions.values()
        for each in schema.get("x-kubernetes-group-version-kind", ())
    }
    return [f"{each.api_version} {each.kind}" for each in CATALOGUE if each.gvk not in held]


def main() -> int:
    """Extract. 0 when the data is in place, 1 with a sentence on stderr."""
    try:
        source = orjson.loads(source_file().read_bytes())["$defs"]
        definitions, descriptions = restore_all(source)
        missing = check(definitions)
        if missing:
            raise SourceMissing(f"the definitions lack {', '.join(missing)}")
    except SourceMissing as problem:
        print(f"extract: {problem}", file=sys.stderr)
        return 1
    DATA.mkdir(exist_ok=True)
    changed = [
        name
        for name, content in (("definitions.json", definitions), ("descriptions.json", descriptions))
        if write_atomic(DATA / name, orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
    ]
    print(f"{len(definitions)} definitions of Kubernetes {RELEASE}: {'written' if changed else 'unchanged'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
