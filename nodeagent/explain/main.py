"""`python -m nodeagent.explain FROM TO[:PORT] --kubeconfig FILE`: asks the API, reads the nodes, walks the packet.

Nothing is sent and nothing is changed: the nodes are asked what their kernels hold, by whatever reaches them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from apimachinery.api.catalogue import (
    ENDPOINTSLICES,
    NAMESPACES,
    NETWORKPOLICIES,
    NODES,
    PODS,
    SERVICES,
    Resource,
)
from apimachinery.client.config import ClientConfig, load_kubeconfig
from apimachinery.client.rest import ApiUnreachable, Client
from apimachinery.kit import commands
from apimachinery.kit.config import or_exit
from apimachinery.meta.status import ApiError

from . import show
from .cluster import Cluster, Object
from .packet import ANSWERS, UNKNOWN
from .question import PROTOCOLS, BadQuestion, Question, ask
from .report import Report, explain
from .snapshot import Json, NodeSnapshot, read_node

_NAME = "kubelab why"
COLLECTOR = "env PYTHONPATH=/opt/kubelab/src /opt/kubelab/venv/bin/python -m nodeagent.explain.collect"
REACH = "ssh root@{node}"
_TIMEOUT = 120.0  # seconds for a node to answer
_SAYS_NO, _CANNOT_TELL = 3, 4

Reader = Callable[[str, Question], Awaitable[Json]]
"""What `collect` prints on the node of that name. Raises CommandError, ValueError."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report. Exit codes: 0 every way answers, 1 the API says no or nothing, 2 bad input, 3 some way does not
    answer, 4 it cannot be told."""
    args = _parser().parse_args(argv)
    with or_exit(_NAME, code=2):
        config = load_kubeconfig(args.kubeconfig, args.context)
    try:
        report = asyncio.run(_run(args, config))
    except ApiError as error:
        print(f"{_NAME}: the API server says: {error.message}", file=sys.stderr)
        return 1
    except ApiUnreachable as error:
        print(f"{_NAME}: the API server does not answer: {error}", file=sys.stderr)
        return 1
    except BadQuestion as error:
        print(f"{_NAME}: {error}", file=sys.stderr)
        return 2
    try:
        print(_told(report, args), flush=True)
    except BrokenPipeError:  # who reads has read enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exit_code(report)


def _told(report: Report, args: argparse.Namespace) -> str:
    if args.json:
        return json.dumps(show.document(report), indent=2, ensure_ascii=False)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    return "\n".join(show.lines(report, every=args.all, commands=not args.brief, width=width))


def exit_code(report: Report) -> int:
    if report.verdict == ANSWERS:
        return 0
    return _CANNOT_TELL if report.verdict == UNKNOWN else _SAYS_NO


async def _run(args: argparse.Namespace, config: ClientConfig) -> Report:
    async with Client(config, _NAME) as client:
        cluster = await read_cluster(client)
    question = ask(
        cluster, args.source, args.to, namespace=args.namespace or config.namespace or "default",
        protocol=args.protocol, source_port=args.source_port, via=args.via,
    )  # fmt: skip
    nodes, unread = await read_nodes(question, reader(args.reach, args.collector))
    return explain(cluster, question, nodes, unread)


async def read_cluster(client: Client) -> Cluster:
    """Every object that rules are made of. Raises ApiError, ApiUnreachable."""

    async def items(resource: Resource) -> list[Object]:
        return list((await client.list(resource))["items"])

    kinds = (PODS, SERVICES, ENDPOINTSLICES, NODES, NETWORKPOLICIES, NAMESPACES)
    return Cluster(*await asyncio.gather(*map(items, kinds)))


async def read_nodes(question: Question, read: Reader) -> tuple[dict[str, NodeSnapshot], dict[str, str]]:
    """The nodes' snapshots, and why others have none."""
    nodes: dict[str, NodeSnapshot] = {}
    unread: dict[str, str] = {}

    async def one(name: str) -> None:
        try:
            nodes[name] = read_node(name, await read(name, question), question.family)
        except (commands.CommandError, ValueError, KeyError, TypeError) as error:
            unread[name] = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | TypeError) else str(error)

    await asyncio.gather(*map(one, question.nodes))
    return nodes, unread


def reader(reach: str, collector: str) -> Reader:
    """By a command of the host. reach: with `{node}` for the name; collector: what to run there."""

    async def read(node: str, question: Question) -> Json:
        words = [word.replace("{node}", node) for word in shlex.split(reach)]
        there = [*shlex.split(collector), f"--family={question.family}", *question.ips]
        done = await commands.run(*words, *there, timeout=_TIMEOUT)
        found: Json = json.loads(done.stdout)
        return found

    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{_NAME} connection")
    parser.add_argument("source", metavar="FROM")
    parser.add_argument("to", metavar="TO[:PORT]")
    parser.add_argument("-n", "--namespace", default="")
    parser.add_argument("--protocol", default="", type=str.lower, choices=("", *PROTOCOLS))
    parser.add_argument("--source-port", type=int, default=0)
    parser.add_argument("--via", default="")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--context")
    parser.add_argument("--reach", default=REACH)
    parser.add_argument("--collector", default=COLLECTOR)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser
