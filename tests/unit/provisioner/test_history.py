"""An object's history for a terminal, and what KIND means."""

from __future__ import annotations

from typing import Any

from provisioner.history import Kind, find_kind, render_history


def version(kind: str, revision: int, manager: str = "", **data: str) -> dict[str, Any]:
    managed = [{"manager": manager, "time": "2026-01-01T00:00:00Z"}] if manager else []
    metadata = {"name": "a", "resourceVersion": str(revision), "managedFields": managed}
    return {"type": kind, "resourceVersion": str(revision), "object": {"metadata": metadata, "data": data}}


def test_revisions_as_differences() -> None:
    found = {
        "truncated": True,
        "versions": [
            version("HELD", 5, x="1"),
            version("MODIFIED", 7, "kubectl", x="2"),
            version("MODIFIED", 8, x="2"),
            version("DELETED", 9, x="2"),
            {**version("ADDED", 11, z="3"), "time": "2026-01-01T00:00:05Z"},
        ],
    }
    lines = [line.plain for line in render_history(found)]
    assert lines == [
        "earlier revisions are left out: there is too much of them",
        "revision 5  held since before",
        "  metadata:",
        "    name: a",
        "  data:",
        "    x: '1'",
        "revision 7  changed by kubectl",
        "@@ -1,4 +1,4 @@",
        "  metadata:",
        "    name: a",
        "  data:",
        "-   x: '1'",
        "+   x: '2'",
        "revision 8  changed",
        "  (nothing but metadata kept by the server)",
        "revision 9  deleted",
        "revision 11  2026-01-01T00:00:05Z  created",
        "+ metadata:",
        "+   name: a",
        "+ data:",
        "+   z: '3'",
    ]
    whole = [line.plain for line in render_history(found, managed_fields=True)]
    assert "  - manager: kubectl" not in lines and any("manager: kubectl" in line for line in whole)


def listed(where: str, plural: str, kind: str, *short: str, namespaced: bool = True) -> dict[str, Any]:
    names = {"name": plural, "singularName": kind.lower(), "kind": kind, "shortNames": list(short)}
    below = {"name": f"{plural}/status", "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get"]}
    whole = {**names, "namespaced": namespaced, "verbs": ["get", "list"]}
    return {"groupVersion": where, "resources": [whole, below]}


def test_what_a_kind_may_be_called() -> None:
    lists = [
        listed("v1", "events", "Event", "ev"),
        listed("apps/v1", "deployments", "Deployment", "deploy"),
        listed("events.k8s.io/v1", "events", "Event", "ev", namespaced=False),
    ]
    deployments = Kind("apps", "v1", "deployments", True)
    for word in ("deploy", "deployment", "Deployment", "deployments", "deployments.apps", "deploy.apps"):
        assert find_kind(lists, word) == deployments
    assert find_kind(lists, "ev") == Kind("", "v1", "events", True)
    assert find_kind(lists, "events.events.k8s.io") == Kind("events.k8s.io", "v1", "events", False)
    assert find_kind(lists, "deployments.batch") is None
    assert deployments.path("ns", "web") == "/apis/apps/v1/namespaces/ns/deployments/web"
    assert Kind("", "v1", "nodes", False).path("ns", "n1") == "/api/v1/nodes/n1"
