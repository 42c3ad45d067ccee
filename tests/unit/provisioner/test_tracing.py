from typing import Any

import pytest
from rich.console import Console

from provisioner.timeline import render_timeline
from provisioner.tracing import Document, Joined, compute_timeline

REQUEST = {"subresource": "", "user": "admin", "agent": "kubectl/v1", "audit": "a-1", "code": 201, "seconds": 0.01}
WEB, POD = ("replicasets.apps", "default/web"), ("pods", "default/web-1")


def document(component: str, entries: list[Any], *, node: str = "", ahead: float = 0.0) -> Document:
    """Asked at 100.0 and answered at 100.2, by a clock that is `ahead`."""
    shifted = [[entry[0] + ahead, *entry[1:]] for entry in entries]
    return Document({"component": component, "now": 100.1 + ahead, "entries": shifted}, node, 100.0, 100.2)


def server(ahead: float = 0.0) -> Document:
    manager = {
        **REQUEST,
        "user": "system:serviceaccount:kube-system:replicaset-controller",
        "agent": "kube-controller-manager/v1.32.0 (linux/amd64) kubernetes/unknown",
        "verb": "create",
    }
    return document(
        "kube-apiserver",
        [
            [10.0, 1, "request", *WEB, "", {**REQUEST, "verb": "create"}],
            [10.001, 1, "admitted", *WEB, "", {"round": "mutating", "plugins": ["A", "B"], "seconds": 0.001}],
            [10.002, 1, "stored", *WEB, "5", "ADDED"],
            [10.02, 2, "request", "pods", "default/", "", manager],
            [10.03, 2, "stored", *POD, "6", "ADDED"],
        ],
        ahead=ahead,
    )


def manager(ahead: float = 0.0) -> Document:
    detail = {"causes": [[*WEB, "5"]], "result": "success", "error": "", "again": None, "seconds": 0.02}
    return document(
        "kube-controller-manager",
        [
            [10.012, 0, "delivered", *WEB, "5", "ADDED"],
            [10.031, 7, "wrote", "/api/v1/namespaces/default/pods", "web-1", "6", "POST"],
            [10.013, 7, "reconciled", "replicaset-controller", "default/web", "", detail],
        ],
        ahead=ahead,
    )


def node(ahead: float = 0.0) -> Document:
    return document(
        "kubelet",
        [
            [10.04, 0, "delivered", *POD, "6", "ADDED"],
            [10.05, 0, "cri", *POD, "", {"call": "RunPodSandbox", "id": "s", "seconds": 0.1}],
            [10.16, 0, "cri", *POD, "", {"call": "CreateContainer", "container": "main", "id": "c", "seconds": 0.01}],
            [10.18, 0, "cri", "pods", "", "", {"call": "StartContainer", "id": "c", "seconds": 0.01}],
            [10.19, 0, "cri", "pods", "", "", {"call": "StartContainer", "id": "somebody else's", "seconds": 0.01}],
        ],
        node="worker-1",
        ahead=ahead,
    )


WHOLE = [
    ("request", "replicasets.apps", 0),
    ("heard", "replicasets.apps", 1),
    ("reconciled", "replicaset-controller", 1),
    ("request", "pods", 1),
    ("heard", "pods", 2),
    ("cri", "pods", 2),
    ("cri", "pods", 2),
    ("cri", "pods", 2),
]


@pytest.mark.parametrize(("resource", "key"), [WEB, POD], ids=["forwards", "backwards"])
def test_causes_and_consequences_are_found_from_either_end(resource: str, key: str) -> None:
    steps = compute_timeline(Joined([server(), manager(), node()]), resource, key)
    assert [(step.what, step.thing[0], step.depth) for step in steps] == WHOLE


@pytest.mark.parametrize("ahead", [-7200.0, -0.15, 0.0, 0.09, 3.0])
def test_a_clock_that_is_wrong_is_corrected(ahead: float) -> None:
    """Up to half of the time that the question took, which nobody can tell from the way."""
    steps = compute_timeline(Joined([server(), manager(), node(ahead)]), *WEB)
    began = next(step.at for step in steps if step.what == "cri")
    assert began == pytest.approx(10.05, abs=0.1)
    if abs(ahead) > 0.2:
        assert began == pytest.approx(10.05, abs=0.001)


def test_who_does_not_answer_leaves_a_gap_and_no_error() -> None:
    steps = compute_timeline(Joined([server(), node()]), *WEB)
    assert [step.what for step in steps] == ["request"]
    assert compute_timeline(Joined([manager()]), *WEB) == []
    assert compute_timeline(Joined([]), *WEB) == []


def test_what_a_kubelet_says_of_a_pod_belongs_to_it_and_leads_on_to_the_rules() -> None:
    said = {**REQUEST, "user": "system:node:worker-1", "agent": "kubelet", "verb": "patch", "subresource": "status"}
    status: list[Any] = [
        [10.3, 9, "request", *POD, "", said],
        [10.31, 9, "stored", *POD, "8", "MODIFIED"],
        [10.33, 10, "request", "endpointslices.discovery.k8s.io", "default/", "", {**REQUEST, "verb": "create"}],
        [10.34, 10, "stored", "endpointslices.discovery.k8s.io", "default/web-x", "9", "ADDED"],
    ]
    detail = {"causes": [[*POD, "8"]], "result": "success", "error": "", "again": None, "seconds": 0.02}
    slices: list[Any] = [
        [10.34, 8, "wrote", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", "web-x", "9", "POST"],
        [10.32, 8, "reconciled", "endpointslice-controller", "default/web", "", detail],
    ]
    kernel = {"family": "IPv4", "with": "nft", "seconds": 0.004}
    rules: list[Any] = [
        [9.0, 0, "ruled", "services", "default/web", "", kernel],
        [10.36, 0, "ruled", "services", "default/web", "", kernel],
        [10.36, 0, "ruled", "services", "default/other", "", kernel],
    ]
    more = [
        document("kube-apiserver", status),
        document("kube-controller-manager", slices),
        document("kube-proxy", rules, node="worker-1"),
    ]
    steps = compute_timeline(Joined([server(), manager(), node(), *more]), *WEB)
    assert [(step.what, step.thing[1], step.depth) for step in steps[len(WHOLE) :]] == [
        ("request", "default/web-1", 2),
        ("reconciled", "default/web", 3),
        ("request", "default/web-x", 3),
        ("ruled", "default/web", 4),
    ]


def test_causes_that_go_in_a_circle_end() -> None:
    """A controller that is woken by its own write of the object that woke it."""
    detail = {"result": "success", "error": "", "again": None, "seconds": 0.0}
    entries: list[Any] = [
        [11.0 + revision, revision, "request", *WEB, "", {**REQUEST, "verb": "update", "subresource": "status"}]
        for revision in range(5, 9)
    ]
    entries += [[11.1 + revision, revision, "stored", *WEB, str(revision), "MODIFIED"] for revision in range(5, 9)]
    loop: list[Any] = []
    for revision in range(5, 9):
        causes = [[*WEB, str(revision)], [*WEB, str(revision + 1)]]
        loop.append([11.2 + revision, revision, "wrote", "/x", "web", str(revision + 1), "PUT"])
        loop.append([11.2 + revision, revision, "reconciled", "c", "default/web", "", {**detail, "causes": causes}])
    steps = compute_timeline(Joined([document("kube-apiserver", entries), document("m", loop)]), *WEB)
    assert [step.thing[2] for step in steps if step.what == "request"] == ["5", "6", "7", "8"]


def admitted(at: float, work: int, about: tuple[str, str], round_: str, **more: Any) -> list[Any]:
    return [at, work, "admitted", *about, "", {"round": round_, "plugins": ["A", "B"], "seconds": 0.001, **more}]


def shown(documents: list[Document], resource: str, key: str, *, admission: bool = False) -> list[str]:
    out = Console(width=160, color_system=None, soft_wrap=True, highlight=False)
    with out.capture() as capture:
        for line in render_timeline(compute_timeline(Joined(documents), resource, key), admission=admission):
            out.print(line)
    return [line.rstrip() for line in capture.get().splitlines()[1:]]


def test_what_each_plugin_changed_is_shown_of_the_first_of_each_kind() -> None:
    by = {**REQUEST, "user": "system:kube-controller-manager", "agent": "kube-controller-manager", "verb": "create"}
    second = ("pods", "default/web-2")
    made = [["ServiceAccount", "spec.serviceAccountName: default"], ["ServiceAccount", "+spec.volumes[x]"]]
    entries: list[Any] = [
        admitted(10.021, 2, POD, "mutating", changes=[*made, ["Priority", "spec.priority: 0"]]),
        [10.04, 3, "request", "pods", "default/", "", by],
        admitted(10.041, 3, second, "mutating", changes=made),
        [10.042, 3, "stored", *second, "7", "ADDED"],
    ]
    wrote: list[Any] = [[10.043, 7, "wrote", "/api/v1/namespaces/default/pods", "web-2", "7", "POST"]]
    documents = [
        server(), manager(), document("kube-apiserver", entries), document("kube-controller-manager", wrote)
    ]  # fmt: skip
    lines = [line.strip() for line in shown(documents, *WEB)]
    first = next(number for number, line in enumerate(lines) if "creates pods default/web-1" in line)
    assert lines[first + 1 : first + 3] == [
        "ServiceAccount: spec.serviceAccountName: default, +spec.volumes[x]",
        "Priority: spec.priority: 0",
    ]
    assert sum("ServiceAccount" in line for line in lines) == 1
    every = shown(documents, *WEB, admission=True)
    assert sum("ServiceAccount" in line for line in every) == 2
    assert sum("admission, mutating: A, B" in line for line in every) == 3


def test_who_refused_and_with_what_words() -> None:
    message = 'replicasets.apps "web" is forbidden: exceeded quota: tight'
    refused = {**REQUEST, "verb": "create", "code": 403, "refused": message}
    invalid = {**REQUEST, "verb": "patch", "code": 422, "refused": "spec.replicas: Invalid value: -1"}
    entries: list[Any] = [
        [9.0, 21, "request", *WEB, "", refused],
        admitted(9.001, 21, WEB, "mutating"),
        admitted(9.002, 21, WEB, "validating", refused=message, by="ResourceQuota"),
        [11.0, 22, "request", *WEB, "", invalid],
        admitted(11.001, 22, WEB, "mutating"),
    ]
    where = 27 * " "
    alone = shown([document("kube-apiserver", entries)], *WEB)
    assert alone == [
        "   +0 ms  kube-apiserver  admin (kubectl) creates replicasets.apps default/web  refused (403)  10.0 ms",
        f"{where} admission, mutating: A, B  1.0 ms",
        f"{where} admission, validating: refused by ResourceQuota: {message}",
        f"{where} audit id a-1",
        "+2000 ms  kube-apiserver  admin (kubectl) changes replicasets.apps default/web  refused (422)  10.0 ms",
        f"{where} admission, mutating: A, B  1.0 ms",
        f"{where} refused: spec.replicas: Invalid value: -1",
        f"{where} audit id a-1",
    ]
    among = shown([server(), manager(), document("kube-apiserver", entries)], *WEB)
    assert [" ".join(line.split()) for line in among if "refused" in line or "creates" in line] == [
        "+0 ms kube-apiserver admin (kubectl) creates replicasets.apps default/web refused (403) 10.0 ms",
        f"admission, validating: refused by ResourceQuota: {message}",
        "+1000 ms kube-apiserver admin (kubectl) creates replicasets.apps default/web @5 10.0 ms",
        "+1020 ms kube-apiserver system:serviceaccount:kube-system:replicaset-controller creates pods default/web-1 @6 "
        "10.0 ms",
        "+2000 ms kube-apiserver admin (kubectl) changes replicasets.apps default/web refused (422) 10.0 ms",
        "refused: spec.replicas: Invalid value: -1",
    ]


def test_the_timeline_for_the_terminal() -> None:
    assert shown([server(), manager(), node()], *WEB) == [
        "   +0 ms  kube-apiserver           admin (kubectl) creates replicasets.apps default/web @5  10.0 ms",
        "                                     admission, mutating: A, B  1.0 ms",
        "                                     audit id a-1",
        "  +12 ms                             heard: replicasets.apps default/web@5 by kube-controller-manager",
        "  +13 ms  kube-controller-manager    replicaset-controller default/web because of replicasets.apps@5  20.0 ms",
        "  +20 ms  kube-apiserver             system:serviceaccount:kube-system:replicaset-controller creates "
        "pods default/web-1 @6  10.0 ms",
        "  +40 ms                               heard: pods default/web-1@6 by kubelet worker-1",
        "  +50 ms  kubelet worker-1             RunPodSandbox default/web-1  100.0 ms",
        " +160 ms  kubelet worker-1             CreateContainer main of default/web-1  10.0 ms",
        " +180 ms  kubelet worker-1             StartContainer default/web-1  10.0 ms",
    ]
