"""What changed between two objects, for a message: upstream shows go-cmp's diff there."""

import json
from typing import Any

from apimachinery.api.validation.checks import same


def difference(old: Any, new: Any, where: str = "") -> str:
    """The values that changed, each as it was (`-`) and as it is (`+`), as far as they can be told apart."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = [
            difference(old.get(key), new.get(key), f"{where}.{key}" if where else key)
            for key in [*old, *(key for key in new if key not in old)]
            if not same(old.get(key), new.get(key))
        ]
        return "\n".join(lines)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return "\n".join(difference(a, b, f"{where}[{i}]") for i, (a, b) in pairs if not same(a, b))
    return f"- \t{where}: {_shown(old)}\n+ \t{where}: {_shown(new)}"


def _shown(value: Any) -> str:
    return "nil" if value is None else json.dumps(value, ensure_ascii=False)
