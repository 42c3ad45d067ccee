"""Checks of a running lab, started by ``kubelab verify`` (KUBELAB_HOME and KUBELAB_LAB say which)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provisioner.home import find_home, find_lab
from provisioner.spec import Driver
from tests.vm.cluster import Cluster


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "disruptive: turns machines off or reboots them")


def _cluster() -> Cluster:
    return Cluster(find_lab(find_home(), os.environ.get("KUBELAB_LAB")))


#: What machines of the netns driver have not: a kernel, memory and disks of their own, systemd-logind.
OF_MACHINES = ("test_3_disks.py", "test_3_memory.py", "test_3_sctp.py", "test_5_shutdown.py")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """What IPv6 does is looked at where the machines have it; some things only on machines of their own."""
    if collection_path.name not in ("test_3_ipv6.py", *OF_MACHINES):
        return None
    lab = find_lab(find_home(), os.environ.get("KUBELAB_LAB")).load()
    absent = lab.driver is Driver.NETNS if collection_path.name in OF_MACHINES else lab.network_v6 is None
    return absent or None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A check that takes ``machine``, ``master`` or ``worker`` runs once for each."""
    machines = find_lab(find_home(), os.environ.get("KUBELAB_LAB")).load().machines
    for name, wanted in (
        ("machine", machines),
        ("master", [each for each in machines if each.is_master]),
        ("worker", [each for each in machines if not each.is_master]),
    ):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, wanted, ids=[each.name for each in wanted])


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return _cluster()
