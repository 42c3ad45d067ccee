"""The options that several commands have, spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LabName = Annotated[str | None, typer.Option("--lab", help="Which lab, when there are several.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The context's when not given.")]
Kubeconfig = Annotated[
    Path | None, typer.Option(help="A cluster's kubeconfig, instead of a lab's; also by KUBECONFIG.")
]
Context = Annotated[str | None, typer.Option(help="A context of the kubeconfig.")]
