"""The commands. Each parses, calls ``lifecycle`` or a driver, prints. Exit codes: see ``complaints``."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from provisioner import cli_history, cli_images, cli_step, cli_trace, cli_vagrant, cli_why, lifecycle
from provisioner.cli_options import AsJson, LabName
from provisioner.complaints import Complaint, explain, wants_json
from provisioner.drivers import State, make_driver
from provisioner.errors import BadInput, LabError
from provisioner.home import LabHome, find_home, find_lab
from provisioner.progress import make_progress
from provisioner.shell import Shell
from provisioner.spec import Machine
from provisioner.specfile import load_lab, read_lab

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed, or something is not as it should be; 2 bad input, and nothing was done; 130 stopped "
    "by Ctrl-C. ssh and kubectl: that of the command. With --json a failure is one object with event: error."
)

app = typer.Typer(
    name="kubelab",
    help="A Kubernetes in virtual machines that can be read, broken and repaired.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_images.app, name="image")
app.add_typer(cli_why.app, name="why")
app.add_typer(cli_vagrant.app, name="vagrant", hidden=True)

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}

LabFile = Annotated[Path, typer.Option("--file", "-f", help="The lab file.")]
Node = Annotated[str, typer.Argument(metavar="NODE", help="A machine, such as master-1 or worker-2.")]


def run(argv: Sequence[str]) -> int:
    """Run one command line; the exit code. No traceback for what a person can mend."""
    # Being told to end is the same as Ctrl-C: the steps under way end, and the journal is whole.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(args=list(argv), prog_name="kubelab", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.Exit as error:
        return error.exit_code
    except BrokenPipeError:
        # Who read our output has enough of it. The interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (Exception, KeyboardInterrupt) as error:
        complaint = explain(error)
        if complaint is None:
            raise
        _print_complaint(complaint, as_json=wants_json(list(argv)))
        return complaint.code


def _version(wanted: bool) -> None:
    if wanted:
        print(f"kubelab {version('kubelab')}")
        raise typer.Exit


@app.callback()
def root(
    _wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """A Kubernetes in virtual machines that can be read, broken and repaired."""


@app.command()
def up(
    file: LabFile = Path("lab.yaml"),
    driver: Annotated[str | None, typer.Option(help="libvirt or netns, instead of the file's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Boot the machines of lab.yaml and wait until every Node is Ready. Again: continue, or change nothing."""
    home, text = find_home(), read_lab(file, driver=driver)
    if text.problems:
        # What this host lacks is told with it, as far as the file says what is wanted.
        host = lifecycle.find_problems(text.lab, home) if text.lab and text.wrong.isdisjoint(("name", "driver")) else []
        raise BadInput([*text.problems, *text.located(host)])
    lab = text.checked()
    try:
        brought = lifecycle.bring_up(lab, home, lambda steps: make_progress(steps, as_json=as_json))
    except BadInput as error:
        raise BadInput(text.located(error.problems), advice=error.advice) from None
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
    """Every machine: does it run, is its Node Ready. Exit code 1 when one does not or is not."""
    found = lifecycle.status(find_lab(find_home(), lab))
    if as_json:
        machines = [
            {"name": each.machine.name, "role": each.machine.role, "ip": each.machine.ip, "state": each.state,
             "node": each.node}
            for each in found
        ]  # fmt: skip
        print(json.dumps({"machines": machines}, indent=2))
    else:
        rows = [(each.machine.name, each.machine.role, each.machine.ip, each.state, each.node) for each in found]
        table, out = Table(box=None, pad_edge=False), Console()
        for column in ("NAME", "ROLE", "IP", "MACHINE", "NODE"):
            table.add_column(column, no_wrap=True)
        # A reason may be long: it alone is cut to fit the line.
        room = out.width - 4 * 2 - sum(max(len(row[number]) for row in rows) for number in range(4))
        for *left, node in rows:
            table.add_row(*left, node if len(node) <= room else f"{node[: max(room, 20) - 1]}…")
        out.print(table)
    # A Node stays Ready for the 40 seconds in which the controller manager waits for its machine.
    if any(each.state is not State.RUNNING or each.node != "Ready" for each in found):
        raise typer.Exit(1)


@app.command(context_settings=_PASS_ON, options_metavar="[--lab LAB]")
def ssh(
    context: typer.Context,
    node: Node,
    command: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]...", help="What to run there.")] = None,
    lab: LabName = None,
) -> None:
    """A root shell on a machine, or one command there: kubelab ssh worker-1 journalctl -u kubelet.

    Every option behind the first word of COMMAND is the command's own.
    """
    words = [*(command or ()), *context.args]
    if words[:1] in (["-h"], ["--help"]):
        print(context.get_help())
        return
    lab, words = remote_command(words, lab)
    _, _, shell = _connect(lab, node)
    raise typer.Exit(shell.interact(" ".join(words)))


def remote_command(words: Sequence[str], lab: str | None) -> tuple[str | None, list[str]]:
    """The lab and the command out of what follows NODE: no command begins with a dash, so that --lab is ours there."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        if word == "--lab" and rest:
            lab = rest.pop(0)
        elif word.startswith("--lab="):
            lab = word.removeprefix("--lab=")
        else:
            usage = "kubelab ssh [--lab LAB] NODE [COMMAND]..."
            raise BadInput([f"ssh: {word} is no option of it, and no command begins with a dash"], advice=usage)
    return lab, rest


@app.command(context_settings={**_PASS_ON, "help_option_names": []}, options_metavar="[--lab LAB]")
def kubectl(context: typer.Context) -> None:
    """The lab's kubectl with the lab's kubeconfig. Every argument behind --lab is kubectl's."""
    lab, arguments = None, list(context.args)
    if arguments[:1] == ["--lab"] and len(arguments) > 1:
        lab, arguments = arguments[1], arguments[2:]
    elif arguments and arguments[0].startswith("--lab="):
        lab, arguments = arguments[0].removeprefix("--lab="), arguments[1:]
    place = find_lab(find_home(), lab)
    if not place.kubectl.exists():
        raise LabError(f"{place.kubectl} is missing", advice="kubelab up puts it there.")
    sys.stdout.flush()
    os.execve(place.kubectl, ["kubectl", *arguments], {**os.environ, "KUBECONFIG": str(place.admin_conf)})


@app.command()
def logs(
    node: Node,
    unit: Annotated[
        str, typer.Argument(metavar="UNIT", help="A unit, or a component such as kube-apiserver.")
    ] = "kubelet",
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """What a unit of a machine, or a static pod of the control plane, has logged.

    `kubelab logs host`: what the cloud controller manager has, which runs on this host."""
    if follow and as_json:
        raise BadInput(["logs: --follow has no end, and --json is one object"])
    if node == "host":
        _show_cloud_log(find_lab(find_home(), lab), lines, follow=follow, as_json=as_json)
        return
    _, machine, shell = _connect(lab, node)
    source = shell.run(find_log_command(unit), check=False)
    if source.code == NO_SUCH_UNIT:
        there = ", ".join(source.text.split())
        raise BadInput([f"{machine.name} has no unit and no static pod {unit!r}; there are: {there}"])
    show = logs_command(unit, source.text.strip(), lines, follow=follow)
    if not as_json:
        raise typer.Exit(shell.interact(show))
    print(json.dumps({"node": machine.name, "unit": unit, "lines": shell.run(show).text.splitlines()}))


def _show_cloud_log(place: LabHome, lines: int, *, follow: bool, as_json: bool) -> None:
    if not place.cloud_log.exists():
        said = f"the lab {place.name} has no cloud controller manager"
        raise BadInput([said], advice="cloudProvider: external in its lab file asks for one.")
    if as_json:
        last = place.cloud_log.read_text(errors="replace").splitlines()[-lines:]
        print(json.dumps({"node": "host", "unit": "cloud-controller-manager", "lines": last}))
        return
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", str(lines), *(["-f"] if follow else []), str(place.cloud_log)])


#: ``find_log_command``'s exit code, of those that no program uses by itself.
NO_SUCH_UNIT = 66


def find_log_command(unit: str) -> str:
    """The shell command that prints the newest log file of the static pod ``unit``, or nothing when it is a unit.

    When there is neither it ends with ``NO_SUCH_UNIT`` and prints the names that there are.
    """
    name = shlex.quote(unit)
    return (
        f"log=$(ls -t /var/log/pods/kube-system_{name}-*/{name}/*.log 2>/dev/null | head -1); "
        f'if [ -n "$log" ]; then echo "$log"; exit 0; fi; '
        f"systemctl status {name} >/dev/null 2>&1; case $? in 0|3) exit 0;; esac; "
        "ls /etc/systemd/system/multi-user.target.wants | sed -n 's/\\.service$//p'; "
        "ls -d /var/log/pods/kube-system_*/*/ 2>/dev/null | sed 's,/$,,; s,.*/,,' | sort -u; "
        f"exit {NO_SUCH_UNIT}"
    )


def logs_command(unit: str, file: str, lines: int, *, follow: bool) -> str:
    """The shell command that shows the end of ``file``, or of the unit's journal when there is none."""
    flag = " -f" if follow else ""
    if file:
        return f"exec tail -n {lines}{flag} {shlex.quote(file)}"
    return f"exec journalctl --no-pager -u {shlex.quote(unit)} -n {lines}{flag}"


def _connect(lab: str | None, node: str) -> tuple[LabHome, Machine, Shell]:
    place = find_lab(find_home(), lab)
    spec = place.load()
    machine = lifecycle.find_machine(spec, node)
    driver = make_driver(spec, place)
    if (state := driver.state(machine)) is not State.RUNNING:
        raise LabError(f"{machine.name} is {state}", advice="kubelab up starts it.")
    return place, machine, driver.connect(machine, 30.0)


app.command("history")(cli_history.history)
app.command("step")(cli_step.step)
app.command("trace")(cli_trace.trace)


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
    nodes: Annotated[
        list[str] | None, typer.Argument(metavar="[NODE]...", help="Machines; all when none is named.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Pull the plug.")] = False,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Turn machines off. kubelab up starts them again, with everything as it was."""
    off = [machine.name for machine in lifecycle.halt(find_lab(find_home(), lab), nodes or [], force=force)]
    print(json.dumps({"event": "halted", "machines": off}) if as_json else f"off: {', '.join(off)}")


@app.command()
def destroy(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="The lab file, for a lab whose folder was lost.")
    ] = None,
    lab: LabName = None,
    as_json: AsJson = False,
) -> None:
    """Remove the lab: machines, disks, network, keys. Images stay (kubelab image prune)."""
    home = find_home()
    if file is None:
        place = find_lab(home, lab)
        spec = place.load()
    else:
        spec = load_lab(file)
        place = LabHome(home, spec.name)
    lifecycle.destroy(place, spec)
    print(json.dumps({"event": "destroyed", "lab": place.name}) if as_json else f"{place.name} is gone")


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
        out = Console(highlight=False, soft_wrap=True)
        for each in found:
            mark = "[green]ok  [/]" if each.ok else "[red]lack[/]" if each.required else "[yellow]lack[/]"
            out.print(mark, Text(f"{each.what}: {each.finding}"))
            if not each.ok:
                out.print(Text(f"     {each.advice}"))
    if not all(each.ok for each in found if each.required):
        raise typer.Exit(1)


@app.command("control-plane", context_settings={**_PASS_ON, "help_option_names": []})
def control_plane() -> None:
    """The control plane alone, without any machine: --data-dir DIR [--store sqlite|https://…] [--listen HOST:PORT]."""
    raise AssertionError("entry.main hands this on before commands are parsed")


def _print_complaint(complaint: Complaint, *, as_json: bool) -> None:
    if as_json:
        print(complaint.as_json())
        return
    out = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for line, style in complaint.as_lines():
        out.print(line, style=style)
