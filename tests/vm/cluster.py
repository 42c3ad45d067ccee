"""The running lab as the checks see it: stock kubectl, the machines' power, and testinfra hosts on either driver."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import testinfra
import testinfra.backend.local
import testinfra.host

from provisioner.drivers import make_driver
from provisioner.drivers.netns import NetnsDriver
from provisioner.home import LabHome
from provisioner.spec import Driver, Machine, ProxyMode
from tests.vm.waiting import until

Object = dict[str, Any]


class NsenterBackend(testinfra.backend.local.LocalBackend):
    """testinfra on a netns machine: the local backend with every command run in the machine's namespaces."""

    NAME = "nsenter"

    def __init__(self, driver: NetnsDriver, machine: Machine) -> None:
        super().__init__(machine.name)
        self._shell = driver.connect(machine, 30.0)

    def run(self, command: str, *args: str, **_: Any) -> Any:
        line = self.get_command(command, *args)
        done = self._shell.run(line, timeout=120.0, check=False)
        return self.result(done.code, self.encode(line), done.stdout, done.stderr)


class Cluster:
    """One lab that is up."""

    def __init__(self, place: LabHome) -> None:
        self.place = place
        self.lab = place.load()
        self.driver = make_driver(self.lab, place)
        self._hosts: dict[str, Any] = {}

    @property
    def workers(self) -> list[Machine]:
        return [machine for machine in self.lab.machines if not machine.is_master]

    def host(self, machine: Machine) -> Any:
        """The testinfra host."""
        if machine.name not in self._hosts:
            if self.lab.driver is Driver.NETNS:
                assert isinstance(self.driver, NetnsDriver)
                self._hosts[machine.name] = testinfra.host.Host(NsenterBackend(self.driver, machine))
            else:
                config = str(self.place.ssh / "config")
                self._hosts[machine.name] = testinfra.get_host(f"ssh://{machine.name}", ssh_config=config)
        return self._hosts[machine.name]

    def service_rules(self, machine: Machine) -> str:
        """What kube-proxy has in the machine's kernel, in the lab's proxy mode."""
        nftables = self.lab.proxy_mode is ProxyMode.NFTABLES
        return self.on(machine, "nft list table ip kube-proxy" if nftables else "iptables-save")

    def on(self, machine: Machine, command: str) -> str:
        """Standard output of a command on a machine; AssertionError when it fails, or the machine cannot be reached."""
        try:
            result = self.host(machine).run(command)
        except RuntimeError as error:  # testinfra's, for an SSH that ends with 255: it is booting, or just went down
            raise AssertionError(f"{machine.name}: `{command}`: no SSH: {error}") from None
        assert result.rc == 0, f"{machine.name}: `{command}`: code {result.rc}: {result.stderr or result.stdout}"
        return str(result.stdout).strip()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Standard output of kubectl; AssertionError with its complaint when it fails."""
        done = self.try_kubectl(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {shlex.join(arguments)}: {done.stderr.strip()}"
        return done.stdout.strip()

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        argv = [str(self.place.kubectl), f"--kubeconfig={self.place.admin_conf}", "--request-timeout=30s", *arguments]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=180, check=False)

    def get(self, *arguments: str) -> Object:
        found: Object = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def pods(self, selector: str) -> list[Object]:
        """Pods of the default namespace that are not being deleted."""
        items = self.get("pods", "-l", selector)["items"]
        return [pod for pod in items if not pod["metadata"].get("deletionTimestamp")]

    def ready_pods(self, selector: str, count: int) -> list[Object] | None:
        """The pods when exactly ``count`` are there and all are Ready."""
        pods = self.pods(selector)
        ready = [pod for pod in pods if condition(pod, "Ready") == "True"]
        return pods if len(pods) == len(ready) == count else None

    def wait_nodes_ready(self, timeout: float = 300.0) -> None:
        def look() -> bool:
            nodes = self.get("nodes")["items"]
            states = {node["metadata"]["name"]: condition(node, "Ready") for node in nodes}
            assert states == {machine.name: "True" for machine in self.lab.machines}, states
            return True

        until("every Node is Ready", look, timeout)


def condition(obj: Object, kind: str) -> str | None:
    """The status of a condition."""
    for each in obj.get("status", {}).get("conditions", []):
        if each["type"] == kind:
            return str(each["status"])
    return None
