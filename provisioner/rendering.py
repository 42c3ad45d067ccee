"""Rendering ``templates/*.j2``. A name that a template uses and nobody gave is an error, not an empty string."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

_FOLDER = Path(__file__).parent / "templates"


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # XML attributes need it; YAML and units must be left as they are.
        autoescape=lambda name: name is not None and name.endswith(".xml.j2"),
    )


def render(template: str, **values: object) -> str:
    """The text of ``templates/TEMPLATE`` with ``values``. Pure: equal input, equal text."""
    return _environment().get_template(template).render(**values)
