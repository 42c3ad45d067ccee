"""Rules that somebody flushes come back, in every mode, by the process itself; what is not ours is left as it is.

Ten seconds are the promise (tests/unit/nodeagent/proxy/test_loop.py holds the process's clock to it); the deadline here
is for a machine that does ten things at once.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.netns.cni.namespaces import Namespace
from tests.netns.proxy.conftest import World
from tests.netns.proxy.test_kube_proxy import asked, soon, two_pods

DEADLINE = 60.0
FOREIGN = "203.0.113.77"


class Mode(NamedTuple):
    """flag: of kube-proxy. commands: which `iptables` it finds. flushes: each breaks the Service."""

    flag: str
    commands: str
    flushes: tuple[str, ...]


IPTABLES_FLUSHES = ("-t nat -F", "-t nat -F KUBE-SERVICES")
MODES = {
    "iptables-nft": Mode(
        "--proxy-mode=iptables", "iptables-nft", tuple(f"iptables-nft {words}" for words in IPTABLES_FLUSHES)
    ),
    "iptables-legacy": Mode(
        "--proxy-mode=iptables", "iptables-legacy", tuple(f"iptables-legacy {words}" for words in IPTABLES_FLUSHES)
    ),
    "nftables": Mode("--proxy-mode=nftables", "iptables-nft", ("nft delete table ip kube-proxy", "nft flush ruleset")),
}


def chosen(directory: Path, command: str) -> Path:
    """A directory where `iptables` and what belongs to it are those of one back end."""
    directory.mkdir()
    for name in ("", "-save", "-restore"):
        for family in ("iptables", "ip6tables"):
            target = shutil.which(f"{command.replace('iptables', family)}{name}")
            assert target is not None
            (directory / f"{family}{name}").symlink_to(target)
    return directory


def add_foreign(namespace: Namespace, mode: Mode, number: int) -> None:
    """A chain and rules of somebody else's, where ours are."""
    if "nftables" in mode.flag:
        for words in ("table ip mine", "chain ip mine rules", f"rule ip mine rules ip saddr {FOREIGN} drop"):
            namespace.run("nft", "add", *words.split())
        return
    rule = f"-s {FOREIGN} -j RETURN"
    for words in (f"-N MINE-{number}-{FOREIGN}", f"-A PREROUTING {rule}", f"-A POSTROUTING {rule}"):
        namespace.run(mode.commands, "-w", "10", "-t", "nat", *words.split())


def foreign(namespace: Namespace, mode: Mode) -> list[str]:
    listed = namespace.run(*(["nft", "list", "ruleset"] if "nftables" in mode.flag else [f"{mode.commands}-save"]))
    return [line.split(" [")[0] for line in listed.splitlines() if FOREIGN in line]


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
async def test_a_flush_is_repaired_and_foreign_rules_are_left_alone(world: World, tmp_path: Path, mode: Mode) -> None:
    one, two = world.nodes
    (_, first_ip), (client, _) = await two_pods(world)
    assert two.process is not None
    assert two.process.stop() == 0
    two.namespace.run("iptables-nft-restore", input="*nat\nCOMMIT\n*filter\nCOMMIT\n")  # what the first one wrote
    two.start(flags=(mode.flag,), commands=chosen(tmp_path / "commands", mode.commands))
    vip = await world.service("web", [(first_ip, one.name)])
    await soon("the ClusterIP", asked(client, vip, 80))
    for number, words in enumerate(mode.flushes):
        two.namespace.run(*words.split())
        add_foreign(two.namespace, mode, number)
        before = foreign(two.namespace, mode)
        assert before
        await soon(f"the ClusterIP after {words}", asked(client, vip, 80), DEADLINE)
        assert foreign(two.namespace, mode) == before
