"""A plugin of somebody else whose result claims the address of another pod: that sandbox fails, and no other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.netns.kubelet import machine as machines
from tests.netns.kubelet.agent import Kubelet, busybox, eventually
from tests.netns.kubelet.cluster import Cluster, joined
from tests.netns.kubelet.machine import Machine

FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.1; done"

# Answers with the result of the plugins before it; with another address while the file `lie` holds one.
LIAR = """\
#!{python} -ISs
import json, os, sys
config = json.load(sys.stdin)
result = config.get("prevResult", {{}})
try:
    result["ips"][0]["address"] = open(config["lie"]).read()
except (OSError, LookupError):
    pass
if os.environ["CNI_COMMAND"] == "ADD":
    json.dump(result, sys.stdout)
"""


@pytest.fixture(scope="module")
def lie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The address that the plugin claims for new pods; the truth while it is not there."""
    return tmp_path_factory.mktemp("liar") / "lie"


@pytest.fixture(scope="module")
def machine(lie: Path) -> Iterator[Machine]:
    plugins = lie.parent / "bin"
    plugins.mkdir()
    for reference in Path("/usr/lib/cni").iterdir():
        (plugins / reference.name).symlink_to(reference)
    liar = plugins / "liar"
    liar.write_text(LIAR.format(python=sys.executable))
    liar.chmod(0o755)
    with machines.started("stolen", cni_bin=plugins, chained=[{"type": "liar", "lie": str(lie)}]) as made:
        yield made


@pytest.fixture(scope="module")
def kubelet(cluster: Cluster) -> Iterator[Kubelet]:
    with joined(cluster) as agent:
        yield agent


def test_a_result_that_claims_another_pods_address_fails_that_sandbox(
    cluster: Cluster, kubelet: Kubelet, lie: Path
) -> None:
    cluster.apply(_pod("honest", "httpd -p 8080 -h /etc"))
    honest = cluster.ready("honest")["status"]
    lie.write_text(f"{honest['podIP']}/24")
    cluster.apply(_pod("claims", "touch /dev/shm/ran"))
    expected = f"{honest['podIP']} is the address of pod default/honest (sandbox "
    # The first time, and again: somebody may mend the plugin meanwhile.
    eventually(lambda: len(_refusals(cluster, "claims")) >= 2, "a second attempt")
    for message in _refusals(cluster, "claims"):
        assert message.startswith('Failed to create pod sandbox: failed to setup network for sandbox "')
        assert expected in message
    # An agent that has just begun knows nobody's addresses, and asks.
    known = set(_refusals(cluster, "claims"))
    kubelet.stop(signal.SIGKILL)
    kubelet.start()
    fresh = eventually(lambda: set(_refusals(cluster, "claims")) - known, "an attempt of the next agent")
    assert fresh is not None and all(expected in message for message in fresh)

    claims = cluster.pod("claims")["status"]
    assert claims["phase"] == "Pending" and not claims.get("podIP")
    assert "waiting" in claims["containerStatuses"][0]["state"]
    # The agent may have been killed after it stopped one: the newest sandbox of a pod is kept, running or not.
    eventually(lambda: not _running(kubelet, "claims"), "the sandbox to be stopped")
    _is_undisturbed(cluster, kubelet, honest)

    lie.unlink()
    mended = cluster.ready("claims")["status"]
    assert mended["podIP"] != honest["podIP"]
    _is_undisturbed(cluster, kubelet, honest)


def _pod(name: str, first: str) -> dict[str, object]:
    spec = {"containers": [busybox(f"{first}; {FOREVER}")], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _refusals(cluster: Cluster, name: str) -> list[str]:
    """What events said of sandboxes that could not be made; each sandbox has an id, and so a message of its own."""
    chosen = f"--field-selector=involvedObject.name={name},reason=FailedCreatePodSandBox"
    return [event["message"] for event in json.loads(cluster.kubectl("get", "events", chosen, "-o=json"))["items"]]


def _running(kubelet: Kubelet, name: str) -> set[str]:
    """Its sandboxes that have a process; there are no containers in them."""
    made = kubelet.machine.ctr("containers", "ls", "-q", f'labels."io.kubernetes.pod.name"=={name}')
    return set(made.split()) & set(kubelet.machine.ctr("tasks", "ls", "-q").split())


def _is_undisturbed(cluster: Cluster, kubelet: Kubelet, before: dict[str, object]) -> None:
    now = cluster.pod("honest")["status"]
    for field in ("podIP", "containerStatuses", "startTime"):
        assert now[field] == before[field]
    asked = kubelet.machine.command("curl", "-sf", "-m", "60", f"http://{now['podIP']}:8080/hostname")
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "honest\n"
