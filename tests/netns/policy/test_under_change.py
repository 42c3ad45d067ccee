"""A packet sees the rules of before a change or those of after it: nothing opens or closes for a moment in between."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.netns.cni.namespaces import Namespace
from tests.netns.policy.test_network_policies import Cluster, app, cluster, soon, table

__all__ = ["cluster"]
ROUNDS = 12
NOBODY = [{"ipBlock": {"cidr": "192.0.2.200/32"}}]


def repeated_opens(client: Namespace) -> int:
    """How often a connection of the namespace had to ask again, because nobody had answered."""
    names, values = [line.split() for line in client.run("cat", "/proc/net/netstat").splitlines()[:2]]
    return int(dict(zip(names, values, strict=True))["TCPSynRetrans"])


class Knocking:
    """A thread that does one thing over and over, until the end of the `with`; `times` it did, `wrong` what it says."""

    def __init__(self, once: Callable[[], str]) -> None:
        self.times, self.wrong = 0, list[str]()
        self._once, self._end = once, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._end.wait(0.005):
            if words := self._once():
                self.wrong.append(words)
            self.times += 1

    def __enter__(self) -> Knocking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(120)


async def test_no_change_opens_or_closes_for_a_moment(cluster: Cluster) -> None:
    a1, a2, b1 = cluster.a1, cluster.a2, cluster.b1
    node = cluster.world.nodes[0]
    await cluster.apply("keep", **app("a1"), ingress=[{"from": [app("a2")], "ports": [{"port": 80}]}])
    await soon("b1 does not reach a1", lambda: not b1.reaches(a1))
    before = repeated_opens(a2.inside)

    def allowed() -> str:
        return "" if " from " in a2.inside.ask(a1.ip, 80, timeout=60) else "no answer"

    def refused() -> str:
        return "b1 got in" if b1.reaches(a1) else ""

    with Knocking(allowed) as inside, Knocking(refused) as outside:
        for number in range(ROUNDS):
            # Another chain for a1, the same rules with others, and the first again.
            more = f"more-{number}"
            await cluster.apply(more, **app("a1"), ingress=[{"from": NOBODY, "ports": [{"port": 1000 + number}]}])
            await soon(f"rules of {more}", lambda more=more: more in table(node))
            await cluster.remove(more)
            await soon(f"no rules of {more}", lambda more=more: more not in table(node))
        # One that is killed leaves its rules, and the next one writes all of them anew.
        assert node.process is not None
        node.process.stop(9)
        node.start(module="nodeagent.kube_proxy", flags=(f"--cni-socket={node.directory / 'cni.sock'}",))
        await cluster.apply("last", **app("a1"), ingress=[{"from": NOBODY}])
        await soon("rules of the next process", lambda: "last" in table(node))
        counted = inside.times, outside.times
        await soon("some more of both", lambda: inside.times > counted[0] + 2 and outside.times > counted[1])
    assert inside.wrong == [] and outside.wrong == []
    assert repeated_opens(a2.inside) == before, "somebody who is allowed was not let in at once"
