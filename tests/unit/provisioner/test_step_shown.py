from typing import Any

import pytest
from rich.console import Console

from provisioner.errors import BadInput
from provisioner.stepping import complete_key, find_changes, find_loop, render_list, render_rehearsal

LOOPS = ["scheduler", "replicaset-controller", "endpoint-controller", "endpointslice-controller", "job-controller"]


def shown(lines: Any) -> str:
    out = Console(width=100, color_system=None, soft_wrap=True, highlight=False)
    with out.capture() as capture:
        for line in lines:
            out.print(line)
    return capture.get()


@pytest.mark.parametrize(
    ("word", "loop"),
    [
        ("scheduler", "scheduler"),
        ("replicaset", "replicaset-controller"),
        ("replicasets", "replicaset-controller"),
        ("replicaset-controller", "replicaset-controller"),
        ("endpoint", "endpoint-controller"),
        ("endpoints", None),
        ("endpointslice", "endpointslice-controller"),
        ("j", "job-controller"),
        ("cron", None),
        ("", None),
    ],
)
def test_which_loop_a_word_names(word: str, loop: str | None) -> None:
    if loop is None:
        with pytest.raises(BadInput):
            find_loop(word, LOOPS)
    else:
        assert find_loop(word, LOOPS) == loop


@pytest.mark.parametrize(
    ("key", "loop", "completed"),
    [
        ("web", {"namespaced": True}, "shop/web"),
        ("default/web", {"namespaced": True}, "default/web"),
        ("worker-1", {"namespaced": False}, "worker-1"),
        ("worker-1", {}, "worker-1"),
        ("", {"namespaced": True}, ""),
    ],
)
def test_a_key_without_its_namespace(key: str, loop: dict[str, bool], completed: str) -> None:
    assert complete_key(key, loop, "shop") == completed


def test_a_loop_that_is_not_there_is_told_which_are() -> None:
    with pytest.raises(BadInput, match="there is no loop 'cron'; there are: scheduler, replicaset-controller"):
        find_loop("cron", LOOPS)


def test_the_list() -> None:
    counts = {"ready": 1, "working": 0, "later": 1}
    later = {"key": "default/b", "after": 3.25, "failures": 2}
    loop = {"name": "a", "paused": True, "counts": counts, "ready": [], "working": [], "later": [later]}
    loops = [{"component": "kube-scheduler", **loop}, {"component": "cloud", **loop, "name": "disk-attacher"}]
    assert shown(render_list(loops)).splitlines() == [
        "PROCESS         LOOP           STATE    READY  WORKING  LATER  NEXT",
        "kube-scheduler  a              paused       1        -      1  default/b in 3.2 s (failed 2×)",
        "cloud           disk-attacher  paused       1        -      1  default/b in 3.2 s (failed 2×)",
    ]


def test_what_is_not_rehearsed() -> None:
    told = {"key": "default/web", "rehearsed": False, "why": "It acts on machines."}
    assert shown(render_rehearsal("service-controller", told)).splitlines() == [
        "service-controller  next key default/web",
        "  Its turn can be taken, but not rehearsed. It acts on machines.",
    ]


def test_changes_leave_out_what_the_server_keeps_for_itself() -> None:
    before = {"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {"replicas": 1, "list": [1, {"x": 1}]}}
    after = {"metadata": {"name": "a", "resourceVersion": "2"}, "spec": {"replicas": 3, "list": [1, {"x": 2}]}, "y": 1}
    assert list(find_changes(before, after)) == [
        ("spec.replicas", 1, 3),
        ("spec.list[1].x", 1, 2),
        ("y", None, 1),
    ]


def test_a_rehearsal_for_the_terminal() -> None:
    about = {"kind": "ReplicaSet", "key": "default/web", "resourceVersion": "9", "deleting": False}
    pod = {"kind": "Pod", "metadata": {"name": "web-x7k2p"}}
    old = {"kind": "ReplicaSet", "metadata": {"name": "web"}, "status": {"replicas": 1}}
    told = {
        "key": "default/web",
        "rehearsed": True,
        "picture": {"object": about, "rows": [["pods", 2, 1], ["ready", 1, 1]]},
        "writes": [
            {
                "method": "POST",
                "path": "/api/v1/namespaces/default/pods",
                "body": {"metadata": {"generateName": "web-"}},
                "before": None,
                "after": pod,
                "error": "",
            },
            {
                "method": "PUT",
                "path": "/apis/apps/v1/namespaces/default/replicasets/web/status",
                "body": {},
                "before": old,
                "after": {**old, "status": {"replicas": 2}},
                "error": "",
            },
        ],
        "events": [{"type": "Normal", "reason": "SuccessfulCreate", "message": "Created pod: web-x7k2p"}],
        "again": None,
        "error": "quota exceeded",
    }
    assert [line.rstrip() for line in shown(render_rehearsal("replicaset-controller", told)).splitlines()] == [
        "replicaset-controller  next key default/web",
        "  ReplicaSet at revision 9",
        "         DESIRED  ACTUAL",
        "  pods   2        1       ←",
        "  ready  1        1",
        "  1. create Pod default/web-…",
        "  2. update ReplicaSet default/web (status)",
        "       status.replicas: 1 → 2",
        "  event SuccessfulCreate: Created pod: web-x7k2p",
        "  and would fail: quota exceeded",
    ]
