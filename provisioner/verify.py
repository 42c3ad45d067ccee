"""``kubelab verify``: run tests/vm (testinfra) against the running lab and tell the result in a readable way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from provisioner.errors import LabError
from provisioner.home import LabHome
from provisioner.lifecycle import SOURCE


@dataclass(frozen=True, slots=True)
class Checked:
    """One check. outcome: passed or failed; why: the failure's last words."""

    group: str
    name: str
    outcome: str
    seconds: float
    why: str = ""


def verify_lab(place: LabHome, *, disruptive: bool, as_json: bool) -> int:
    """Run the checks; 0 when all passed, otherwise 1. Raises ``LabError`` when they cannot be run at all."""
    tests = SOURCE / "tests/vm"
    if not tests.is_dir():
        raise LabError(f"{tests} is missing", advice="kubelab verify runs from a checkout.")
    with tempfile.TemporaryDirectory(prefix="kubelab-verify-") as folder:
        report = Path(folder, "report.xml")
        argv = [sys.executable, "-m", "pytest", str(tests), "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        if not disruptive:
            argv += ["-m", "not disruptive"]
        environment = {**os.environ, "KUBELAB_HOME": str(place.home), "KUBELAB_LAB": place.name}
        # In JSON mode standard output is the report's alone.
        done = subprocess.run(argv, cwd=SOURCE, env=environment, stdout=sys.stderr if as_json else None, check=False)
        if not report.exists():
            raise LabError(f"the checks could not be run: pytest ended with code {done.returncode}")
        checked = read_report(report.read_text())
    if not checked:
        raise LabError("no check was run")
    _print(checked, as_json=as_json)
    return 0 if all(each.outcome == "passed" for each in checked) else 1


def read_report(xml: str) -> list[Checked]:
    """pytest's JUnit report as a list. A skipped check counts as failed: a lab either has a property or not."""
    found = []
    for case in ElementTree.fromstring(xml).iter("testcase"):
        trouble = next((each for each in case if each.tag in ("failure", "error", "skipped")), None)
        why = "" if trouble is None else (trouble.get("message") or trouble.text or trouble.tag).strip()
        group = (case.get("classname") or "").rsplit(".", 1)[-1].removeprefix("test_").replace("_", " ")
        name = (case.get("name") or "").removeprefix("test_").replace("_", " ")
        outcome = "passed" if trouble is None else "failed"
        found.append(Checked(group, name, outcome, float(case.get("time") or 0), why))
    return found


def _print(checked: list[Checked], *, as_json: bool) -> None:
    failed = [each for each in checked if each.outcome != "passed"]
    if as_json:
        print(
            json.dumps(
                {"passed": len(checked) - len(failed), "failed": len(failed), "checks": list(map(asdict, checked))}
            )
        )
        return
    out = Console(highlight=False, markup=False, soft_wrap=True)
    group = ""
    for each in checked:
        if each.group != group:
            group = each.group
            out.print(f"\n{group}", style="bold")
        mark, style = ("✓", "green") if each.outcome == "passed" else ("✗", "red")
        out.print(f"  {mark} {each.name}  ({each.seconds:.1f} s)", style=style)
        if each.why:
            out.print(f"      {each.why.splitlines()[0]}")
    out.print(
        f"\n{len(checked) - len(failed)} passed, {len(failed)} failed", style="bold red" if failed else "bold green"
    )
