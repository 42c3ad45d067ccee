"""The commands. Each parses, calls ``lifecycle`` or a driver, prints; exit code 0 ok, 1 failed, 2 bad input."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from provisioner import cli_images, cli_vagrant, lifecycle
from provisioner.drivers import make_driver
from provisioner.errors import BadInput, LabError, StepFailed, Stopped
from provisioner.home import find_home, find_lab
from provisioner.progress import make_progress
from provisioner.specfile import load_lab

app = typer.Typer(
    name="kubelab",
    help="A Kubernetes in virtual machines that can be read, broken and repaired.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_images.app, name="image")
app.add_typer(cli_vagrant.app, name="vagrant", hidden=True)

#: What the parser raises for a wrong command line. typer brings its own copy of click, and names only this subclass.
_UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}

LabName = Annotated[str | None, typer.Option("--lab", help="Which lab, when there are several.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
LabFile = Annotated[Path, typer.Option("--file", "-f", help="The lab file.")]
Node = Annotated[str, typer.Argument(help="A machine, such as master-1 or worker-2.")]


def run(argv: Sequence[str]) -> int:
    """Run one command line; the exit code. No traceback for what a person can mend."""
    as_json = "--json" in argv
    # Being told to end is the same as Ctrl-C: the steps under way end, and the journal is whole.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(args=list(argv), standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.Exit as error:
        return error.exit_code
    except BadInput as error:
        _complain(str(error), (), error.advice, as_json)
        return 2
    except StepFailed as error:
        _complain(str(error), error.console, error.advice, as_json)
        return 1
    except LabError as error:
        _complain(str(error), (), error.advice, as_json)
        return 130 if isinstance(error, Stopped) else 1
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except _UsageError as error:
        _complain(error.format_message(), (), "kubelab --help", as_json)
        return 2
    except PermissionError as error:
        _complain(f"{error.filename}: {error.strerror}", (), "Run as root, or set KUBELAB_HOME.", as_json)
        return 1


@app.command()
def up(
    file: LabFile = Path("lab.yaml"),
    driver: Annotated[str | None, typer.Option(help="libvirt or netns, instead of the file's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Boot the machines of lab.yaml and wait until every Node is Ready. Again: continue, or change nothing."""
    lab = load_lab(file, driver=driver)
    brought = lifecycle.bring_up(lab, find_home(), lambda steps: make_progress(steps, as_json=as_json))
    done = [each for each in brought.steps if each.done]
    if as_json:
        result = {
            "event": "up",
            "lab": lab.name,
            "kubeconfig": str(brought.home.admin_conf),
            "seconds": round(brought.seconds, 1),
            "notes": list(brought.notes),
            "steps": [asdict(each) for each in brought.steps],
        }
        print(json.dumps(result))
        return
    out = Console()
    names = ", ".join(machine.name for machine in lab.machines)
    out.print(f"\n[bold green]{lab.name} is up[/]: {names}; {len(done)} steps in {brought.seconds:.0f} s")
    out.print(f"export KUBECONFIG={brought.home.admin_conf}\n", highlight=False)
    out.print("Try:", style="bold")
    out.print("  kubelab kubectl get nodes -o wide", highlight=False)
    out.print("  kubelab kubectl create deployment web --image=nginx --replicas=3 --port=80", highlight=False)
    out.print(f"  kubelab ssh {lab.machines[-1].name} systemctl status kubelet", highlight=False)


@app.command()
def status(lab: LabName = None, as_json: AsJson = False) -> None:
    """Every machine: is it running, is its Node Ready. Exit code 1 when one is not."""
    found = lifecycle.status(find_lab(find_home(), lab))
    if as_json:
        rows = [
            {"name": each.machine.name, "role": each.machine.role, "ip": each.machine.ip, "state": each.state,
             "node": each.node}
            for each in found
        ]  # fmt: skip
        print(json.dumps({"machines": rows}, indent=2))
    else:
        table = Table(box=None, pad_edge=False)
        for column in ("NAME", "ROLE", "IP", "MACHINE", "NODE"):
            table.add_column(column)
        for each in found:
            table.add_row(each.machine.name, each.machine.role, each.machine.ip, each.state, each.node)
        Console().print(table)
    if any(each.node != "Ready" for each in found):
        raise typer.Exit(1)


@app.command(context_settings=_PASS_ON)
def ssh(context: typer.Context, node: Node, lab: LabName = None) -> None:
    """A root shell on a machine, or one command there: kubelab ssh worker-1 journalctl -u kubelet.

    Options come before NODE: what follows it is the command.
    """
    place = find_lab(find_home(), lab)
    spec = place.load()
    machine = lifecycle.find_machine(spec, node)
    shell = make_driver(spec, place).connect(machine, 30.0)
    raise typer.Exit(shell.interact(" ".join(context.args)))


@app.command(context_settings={**_PASS_ON, "help_option_names": []})
def kubectl(context: typer.Context) -> None:
    """The lab's kubectl with the lab's kubeconfig; every argument is passed on. Several labs: set KUBELAB_LAB."""
    place = find_lab(find_home(), None)
    if not place.kubectl.exists():
        raise LabError(f"{place.kubectl} is missing", advice="kubelab up puts it there.")
    sys.stdout.flush()
    os.execve(place.kubectl, ["kubectl", *context.args], {**os.environ, "KUBECONFIG": str(place.admin_conf)})


@app.command()
def logs(
    node: Node,
    unit: Annotated[str, typer.Argument(help="A unit, or a component such as kube-apiserver.")] = "kubelet",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1)] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f")] = False,
    lab: LabName = None,
) -> None:
    """What a unit of a machine, or a static pod of the control plane, has logged."""
    place = find_lab(find_home(), lab)
    spec = place.load()
    machine = lifecycle.find_machine(spec, node)
    shell = make_driver(spec, place).connect(machine, 30.0)
    raise typer.Exit(shell.interact(logs_command(unit, lines, follow=follow)))


def logs_command(unit: str, lines: int, *, follow: bool) -> str:
    """The shell command that shows a unit's journal, or the newest log of the static pod of that name."""
    import shlex

    follow_flag = " -f" if follow else ""
    name = shlex.quote(unit)
    return (
        f"log=$(ls -t /var/log/pods/kube-system_{name}-*/{name}/*.log 2>/dev/null | head -1); "
        f'if [ -n "$log" ]; then exec tail -n {lines}{follow_flag} "$log"; '
        f"else exec journalctl --no-pager -u {name} -n {lines}{follow_flag}; fi"
    )


@app.command()
def sync(lab: LabName = None, as_json: AsJson = False) -> None:
    """Push changed code and configuration to the running machines and restart what changed."""
    place = find_lab(find_home(), lab)
    ran = lifecycle.sync(place, lambda steps: make_progress(steps, as_json=as_json))
    pushed = [each.step for each in ran if each.done and each.step.split("/")[1] in ("code", "files", "services")]
    if as_json:
        print(json.dumps({"event": "synced", "steps": [asdict(each) for each in ran]}))
    else:
        print(f"done: {', '.join(pushed) or 'nothing had changed'}")


@app.command()
def halt(
    nodes: Annotated[list[str] | None, typer.Argument(help="Machines; all when none is named.")] = None,
    force: Annotated[bool, typer.Option(help="Pull the plug.")] = False,
    lab: LabName = None,
) -> None:
    """Turn machines off. kubelab up starts them again, with everything as it was."""
    lifecycle.halt(find_lab(find_home(), lab), nodes or [], force=force)


@app.command()
def destroy(lab: LabName = None) -> None:
    """Remove the lab: machines, disks, network, keys. Images stay (kubelab image prune)."""
    home = find_home()
    place = find_lab(home, lab)
    lifecycle.destroy(place)
    print(f"{place.name} is gone")


@app.command()
def verify(
    lab: LabName = None,
    disruptive: Annotated[bool, typer.Option(help="Also turn machines off and reboot them.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check the running lab from the outside and the inside; a report of everything that was looked at."""
    from provisioner.verify import verify_lab

    place = find_lab(find_home(), lab)
    raise typer.Exit(verify_lab(place, disruptive=disruptive, as_json=as_json))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """What this host lacks for a lab, and how to mend it."""
    from provisioner.doctor import examine

    found = examine(find_home())
    if as_json:
        print(json.dumps({"checks": [asdict(each) for each in found]}, indent=2))
    else:
        out = Console(highlight=False)
        for each in found:
            out.print(f"{'[green]ok  [/]' if each.ok else '[red]lack[/]'} {each.what}: {each.finding}")
            if not each.ok:
                out.print(f"     {each.advice}")
    if not all(each.ok for each in found if each.required):
        raise typer.Exit(1)


@app.command("control-plane", context_settings={**_PASS_ON, "help_option_names": []})
def control_plane() -> None:
    """The control plane alone, without any machine: --data-dir DIR [--store sqlite|https://…] [--listen HOST:PORT]."""
    raise AssertionError("entry.main hands this on before commands are parsed")


def _complain(message: str, console: Sequence[str], advice: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": message, "console": list(console), "advice": advice}))
        return
    out = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    out.print(f"kubelab: {message}", style="red")
    if console:
        out.print("last lines:", style="bold")
        for line in console:
            out.print(f"  | {line}")
    if advice:
        out.print(advice)
