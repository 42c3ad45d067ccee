"""``kubelab why connection``: where a packet goes, and why, by what the machines' kernels hold."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from provisioner.cli_options import AsJson, Context, Kubeconfig, LabName, Namespace
from provisioner.errors import BadInput
from provisioner.home import find_home, find_kubeconfig, find_lab

_PLAIN = "ssh root@{node}"
_FROM = "A pod (NAME, NAMESPACE/NAME, pod/NAME), a node (NAME, node/NAME), or an address outside."
_TO = "A pod, a Service (svc/NAME, NAME.NAMESPACE), a node or an address; PORT is a number or a port's name."


def connection(
    source: Annotated[str, typer.Argument(metavar="FROM", help=_FROM)],
    to: Annotated[str, typer.Argument(metavar="TO[:PORT]", help=_TO)],
    protocol: Annotated[str, typer.Option(help="tcp, udp or sctp; that of the Service's port when not given.")] = "",
    source_port: Annotated[int, typer.Option(help="The client's, of a connection that is there already.")] = 0,
    via: Annotated[str, typer.Option(help="The node by which a packet from outside enters.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Show the steps of every way, not of one of each kind.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Leave out the commands that show the same.")] = False,
    reach: Annotated[str, typer.Option(help="What runs a command on a node, instead of kubelab ssh.")] = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Where a connection goes and why: every route, rule and bridge on the way, and what is not as it should be.

    Nothing is sent. Ends with 0 when every way is answered, 3 when one is not, 4 when that cannot be told.
    """
    config = find_kubeconfig(kubeconfig, lab)
    words = [source, to, f"--namespace={namespace}", f"--kubeconfig={config}"]
    words += [f"--context={context}"] if context is not None else []
    words += [f"--protocol={protocol}", f"--source-port={source_port}", f"--via={via}"]
    words += [f"--reach={reach or reach_by_ssh(config, lab)}"]
    words += [name for name, is_set in (("--all", every), ("--brief", brief), ("--json", as_json)) if is_set]
    # A process of its own: the provisioner knows the node agent by its command line only.
    done = subprocess.run([sys.executable, "-m", "nodeagent.explain", *words])
    if done.returncode:
        raise typer.Exit(done.returncode)


def reach_by_ssh(config: Path, lab: str | None) -> str:
    """The command in front of one for a node: the lab's own ssh; plain ssh for a cluster that is no lab of ours."""
    try:
        place = find_lab(find_home(), lab)
    except BadInput:
        if lab is not None:
            raise
        return _PLAIN
    if lab is None and config.resolve() != place.admin_conf.resolve():
        return _PLAIN
    return f"{shlex.quote(sys.executable)} -m provisioner ssh {{node}} --lab={shlex.quote(place.name)} --"
