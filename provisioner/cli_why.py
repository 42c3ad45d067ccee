"""``kubelab why``: why something is as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from provisioner.cli_options import AsJson, Context, Kubeconfig, LabName, Namespace
from provisioner.cli_why_connection import connection
from provisioner.home import find_kubeconfig

app = typer.Typer(help="Why something is as it is: pod, connection.", no_args_is_help=True)


@app.command()
def pod(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    lab: LabName = None,
    scheduler_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The scheduler's configuration: for pods of other profiles.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Why a pod has no node, or has the one it has: every node's verdict and score, and what would let the pod in."""
    words = [name, f"--namespace={namespace}", f"--kubeconfig={find_kubeconfig(kubeconfig, lab)}"]
    words += [f"--context={context}"] if context is not None else []
    words += [f"--scheduler-config={scheduler_config}"] if scheduler_config is not None else []
    words += ["--json"] if as_json else []
    # A process of its own: the provisioner knows the scheduler by its command line only.
    done = subprocess.run([sys.executable, "-m", "controlplane.scheduler.explain", *words])
    if done.returncode:
        raise typer.Exit(done.returncode)


app.command("connection")(connection)
