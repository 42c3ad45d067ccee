"""Calls that begin or end something, noted in the component's trace (`kubelab trace`) with the time they took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apimachinery.kit.trace import current


@contextmanager
def noted(call: str, pod: str = "", **detail: Any) -> Iterator[dict[str, Any]]:
    """Note what happens inside when it has ended, well or badly. pod: `namespace/name`, "" where only an id is known.

    What is yielded is added to, before the inside ends: the id of what was made."""
    trace = current()
    began = trace.now() if trace is not None else 0.0
    facts: dict[str, Any] = {"call": call, **detail}
    try:
        yield facts
    except BaseException as error:
        facts["error"] = str(error) or type(error).__name__
        raise
    finally:
        if trace is not None:
            facts["seconds"] = trace.now() - began
            trace.note_at(began, 0, "cri", "pods", pod, "", facts)
