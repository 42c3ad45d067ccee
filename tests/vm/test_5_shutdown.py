"""A worker is shut down in good order: the kubelet holds logind back until the pods have ended (KEP-2000)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from provisioner.spec import Machine
from tests.vm.cluster import Cluster
from tests.vm.waiting import until

pytestmark = pytest.mark.disruptive

CONFIG = "/var/lib/kubelet/config.yaml"
MARK = "/var/lib/last-words"
#: Longer than an emulated machine needs to stop by itself, and shorter than the grace of the pod.
LAST_WORDS = "trap 'sleep 5; date > /mark/ended; sync; exit 0' TERM; touch /mark/began; while true; do sleep 0.2; done"


@pytest.fixture
def graceful(cluster: Cluster) -> Iterator[Machine]:
    """A worker whose kubelet has been given a grace period for shutdowns, as an operator would."""
    machine = cluster.workers[0]
    periods = "shutdownGracePeriod: 30s\\nshutdownGracePeriodCriticalPods: 10s\\n"
    cluster.on(machine, f"cp {CONFIG} {CONFIG}.before && rm -rf {MARK}")
    cluster.on(machine, f"sed -i /^shutdownGracePeriod/d {CONFIG} && printf '{periods}' >> {CONFIG}")
    cluster.on(machine, "systemctl restart kubelet")
    yield machine
    cluster.kubectl("delete", "pod", "last-words", "--ignore-not-found", "--timeout=120s")
    cluster.on(machine, f"mv {CONFIG}.before {CONFIG} && rm -rf {MARK} && systemctl restart kubelet")
    cluster.wait_nodes_ready()


def test_a_pod_has_its_last_words_before_the_machine_goes_down(cluster: Cluster, graceful: Machine) -> None:
    def inhibits() -> bool:
        locks = cluster.on(graceful, "systemd-inhibit --list --no-legend")
        held = [line.split() for line in locks.splitlines()]
        assert any(line[0] == "kubelet" and "shutdown" in line and line[-1] == "delay" for line in held), locks
        return True

    until("the kubelet holds a lock", inhibits)
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(_pod(graceful.name)))
    until("its pod runs", lambda: cluster.on(graceful, f"ls {MARK}").split() == ["began"], 300)
    boot = cluster.get("node", graceful.name)["status"]["nodeInfo"]["bootID"]
    cluster.driver.halt(graceful, 90.0)
    status = cluster.get("pod", "last-words")["status"]
    assert (status["phase"], status.get("reason")) == ("Failed", "Terminated"), status
    assert status["message"] == "Pod was terminated in response to imminent node shutdown."
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    target = {each["type"]: each for each in status["conditions"]}["DisruptionTarget"]
    assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
    cluster.driver.start(graceful)
    cluster.driver.connect(graceful, 300.0).close()
    until("a new boot", lambda: cluster.get("node", graceful.name)["status"]["nodeInfo"]["bootID"] != boot, 300)
    assert cluster.on(graceful, f"ls {MARK}").split() == ["began", "ended"]
    assert cluster.get("pod", "last-words")["status"]["phase"] == "Failed", "what has ended does not begin again"


def _pod(node: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "busybox",
        "command": ["sh", "-c", LAST_WORDS],
        "volumeMounts": [{"name": "mark", "mountPath": "/mark"}],
    }
    volume = {"name": "mark", "hostPath": {"path": MARK, "type": "DirectoryOrCreate"}}
    spec = {"nodeName": node, "containers": [container], "volumes": [volume], "terminationGracePeriodSeconds": 20}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "last-words"}, "spec": spec}
