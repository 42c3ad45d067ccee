from typing import Any

import pytest
from rich.console import Console

from provisioner.errors import BadInput
from provisioner.stepping import complete_key, find_loop, render_list, render_rehearsal

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
        ("rs", "replicaset-controller"),
        ("ep", "endpoint-controller"),
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
    with pytest.raises(BadInput, match="there is no loop 'cron'; kubelab step --list names them"):
        find_loop("cron", LOOPS)


def test_the_list() -> None:
    counts = {"ready": 1, "working": 0, "later": 1}
    later = {"key": "default/b", "after": 3.25, "failures": 2}
    loop = {"name": "a", "paused": True, "counts": counts, "ready": [], "working": [], "later": [later]}
    tomorrow = {"key": "routes", "after": 85588.9, "failures": 0}
    loops = [
        {"component": "kube-scheduler", **loop},
        {"component": "cloud", **loop, "name": "disk-attacher", "later": [tomorrow]},
    ]
    assert shown(render_list(loops)).splitlines() == [
        "PROCESS         LOOP           STATE    READY  WORKING  LATER  NEXT",
        "kube-scheduler  a              paused       1        -      1  default/b in 3.2 s (failed 2×)",
        "cloud           disk-attacher  paused       1        -      1  routes in 23h",
    ]


def test_what_is_done_outside_the_api_and_a_key_that_names_no_object() -> None:
    told = {
        "key": "routes",
        "picture": {"rows": [["add the route to 10.244.1.0/24 via 10.9.0.2", "done", "not yet"]]},
        "writes": [{"method": "", "path": "", "body": None, "does": "add the route to 10.244.1.0/24 via 10.9.0.2"}],
        "events": [],
        "again": 10.0,
        "error": "",
    }
    assert [line.rstrip() for line in shown(render_rehearsal("node-route-controller", told)).splitlines()] == [
        "node-route-controller  next key routes",
        "                                               DESIRED  ACTUAL",
        "  add the route to 10.244.1.0/24 via 10.9.0.2  done     not yet  ←",
        "  1. add the route to 10.244.1.0/24 via 10.9.0.2",
        "  and would come back in 10.0 s",
    ]


def test_a_rehearsal_for_the_terminal() -> None:
    about = {"kind": "ReplicaSet", "key": "default/web", "resourceVersion": "9", "deleting": False}
    pod = {"kind": "Pod", "metadata": {"name": "web-x7k2p"}}
    old = {"kind": "ReplicaSet", "metadata": {"name": "web"}, "status": {"replicas": 1}}
    told = {
        "key": "default/web",
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
