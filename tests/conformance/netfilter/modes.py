"""What differs between the ways into the kernel: how its rules are listed, broken and removed."""

from collections.abc import Iterable, Iterator, Sequence

from apimachinery.kit.clock import SystemClock
from nodeagent.netlink.wire import NETLINK_NETFILTER, Netlink, Request
from nodeagent.proxy.backend import Backend
from nodeagent.proxy.iptables.command import Iptables
from nodeagent.proxy.iptables.rules import IptablesRules
from nodeagent.proxy.iptables.saved import SavedTable, render_cleanup
from nodeagent.proxy.nftables.kernel import NftKernel
from nodeagent.proxy.nftables.render import Present
from nodeagent.proxy.nftables.rules import NftablesRules
from nodeagent.proxy.node import Settings
from tests.netns.cni.namespaces import Namespace

MODES = ("iptables-nft", "iptables-legacy", "nftables")


class IptablesMode:
    """Passes everything to real iptables and remembers what was written. backend: `nft` or `legacy`."""

    localhost_node_ports = True

    def __init__(self, namespace: Namespace, backend: str, family: int) -> None:
        self._namespace, self._command = namespace, f"{'iptables' if family == 4 else 'ip6tables'}-{backend}"
        self._real = Iptables(family, backend=backend, namespace=str(namespace.path))
        self.written: list[str] = []
        self.backend: Backend = IptablesRules(self, Settings(family=family))
        self.breakages = [
            [self._command, *words.split()]
            for words in (
                "-t nat -F", "-t filter -F", "-t nat -F KUBE-SERVICES", "-t nat -D PREROUTING 1",
                "-t nat -A KUBE-MARK-MASQ -j RETURN",
            )
        ]  # fmt: skip
        self.leftover = (
            "*nat\n:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]\n:KUBE-SERVICES - [0:0]\n"
            "-A KUBE-SERVICES -d 10.96.9.9/32 -j KUBE-SVC-AAAAAAAAAAAAAAAA\nCOMMIT\n"
        )

    async def save(self) -> dict[str, SavedTable]:
        return await self._real.save()

    async def restore(self, pieces: Iterable[str]) -> None:
        await self._real.restore(noted(pieces, self.written))

    def load(self, text: str) -> None:
        """Somebody else's rules."""
        self._namespace.run(f"{self._command}-restore", "--noflush", input=text)

    def check(self, text: str) -> None:
        """Whether it would be taken."""
        self._namespace.run(f"{self._command}-restore", "--test", "--noflush", "--counters", input=text)

    def rules(self) -> set[str]:
        """The chains and rules of ours and others, without counters and comments; the kernel's own chains left out."""
        saved = "".join(self._namespace.run(f"{self._command}-save", "-t", table) for table in ("filter", "nat"))
        lines = (line.split(" [")[0] for line in saved.splitlines())
        return {line for line in lines if line.startswith((":", "-A")) and not line.endswith((" ACCEPT", " DROP"))}

    async def clean_up(self) -> None:
        if text := render_cleanup(await self.save()):
            await self.restore([text])


class NftablesMode:
    """The same for nftables."""

    localhost_node_ports = False

    def __init__(self, namespace: Namespace, family: int) -> None:
        self._namespace = namespace
        prefix = ["nsenter", f"--net={namespace.path}"]
        self._real = NftKernel(family, prefix=prefix, open=lambda: namespace.inside(lambda: Netlink(NETLINK_NETFILTER)))
        self.written: list[str] = []
        self.backend: Backend = NftablesRules(self, Settings(family=family), SystemClock())
        self.breakages = [
            ["nft", words]
            for words in (
                "flush ruleset", "delete table ip kube-proxy", "flush chain ip kube-proxy services",
                "flush map ip kube-proxy service-ips", "flush set ip kube-proxy cluster-ips",
                "delete chain ip kube-proxy nat-prerouting", "add rule ip kube-proxy mark-for-masquerade return",
                "add chain ip kube-proxy mine",
            )
        ]  # fmt: skip
        self.leftover = (
            "add table ip kube-proxy\nadd chain ip kube-proxy service-AAAAAAAA-a/b/tcp/\n"
            "add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }\n"
            "add element ip kube-proxy service-ips { 10.96.9.9 . tcp . 80 : goto service-AAAAAAAA-a/b/tcp/ }\n"
        )

    async def apply(self, pieces: Iterable[str]) -> None:
        await self._real.apply(noted(pieces, self.written))

    def transact(self, requests: Sequence[Request]) -> None:
        self.written.append("".join(request.body.decode("latin-1") for request in requests))
        self._real.transact(requests)

    async def present(self) -> Present:
        return await self._real.present()

    def load(self, text: str) -> None:
        self._namespace.run("nft", "-f", "-", input=text)

    def check(self, text: str) -> None:
        self._namespace.run("nft", "-c", "-f", "-", input=text)

    def rules(self) -> set[str]:
        """Every line with the chain, map or set that it is in."""
        found, where = set(), ""
        for line in self._namespace.run("nft", "-s", "list", "ruleset").splitlines():
            if line.startswith("\t") and line.endswith("{"):
                where = line.strip(" \t{")
            found |= {f"{where}: {part.strip()}" for part in line.split(",") if part.strip(" \t}")}
        return found

    async def clean_up(self) -> None:
        await self._real.remove()


def noted(pieces: Iterable[str], written: list[str]) -> Iterator[str]:
    for piece in pieces:
        written.append(piece)
        yield piece


def mode(name: str, namespace: Namespace, family: int) -> IptablesMode | NftablesMode:
    if name == "nftables":
        return NftablesMode(namespace, family)
    return IptablesMode(namespace, name.removeprefix("iptables-"), family)
