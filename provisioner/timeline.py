"""A timeline for a terminal: when, where, and what, indented by cause. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.text import Text

from provisioner.tracing import Step

Object = dict[str, Any]

_COLOURS = {
    "kube-apiserver": "blue",
    "kube-controller-manager": "magenta",
    "kube-scheduler": "cyan",
    "cloud-controller-manager": "bright_magenta",
    "kubelet": "green",
    "kube-proxy": "yellow",
}
_CONTROLLERS = "system:serviceaccount:kube-system:"
_HOW = {"ADDED": "creates", "MODIFIED": "changes", "DELETED": "deletes"}
_ASKED = {"create": "creates", "delete": "deletes", "deletecollection": "deletes"}
_INDENT_MAX = 8
_CHANGE_MAX = 100  # characters of what a plug-in changed


def render_timeline(steps: Sequence[Step], *, admission: bool = False) -> Iterator[Text]:
    """A line for each step; deliveries of one version to several components share one.

    admission: of every request; otherwise of the first ones, of the first creation of each kind what was changed, and
    wherever it refused."""
    if not steps:
        return
    begun = steps[0].at
    wide = max(len(step.where) for step in steps)
    stamp = datetime.fromtimestamp(begun).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    yield Text(f"{stamp}  is +0 ms", style="dim")
    heard: set[tuple[str, str, str]] = set()
    changed: set[str] = set()
    for step in steps:
        if step.what == "heard":
            if step.thing in heard:
                continue
            heard.add(step.thing)
            yield _line(step, begun, wide, _heard([each for each in steps if each.thing == step.thing]))
            continue
        told = _TELL[step.what](step)
        yield _line(step, begun, wide, told)
        if step.what != "request":
            continue
        first = step.detail["verb"] == "create" and step.thing[0] not in changed
        for more, style in _below(step, admission=admission or not step.depth, changes=admission or first):
            yield Text(f"{'':10}{'':{wide}}  {'  ' * min(step.depth, _INDENT_MAX)}  {more}", style=style)
        if first:
            changed.add(step.thing[0])


def _line(step: Step, begun: float, wide: int, told: Text) -> Text:
    line = Text(f"{_since(step.at - begun):>8}  ", style="bold" if step.what == "request" else "")
    where = "" if step.what == "heard" else step.where
    line.append(f"{where:{wide}}  ", style=_COLOURS.get(step.where.split()[0], ""))
    line.append("  " * min(step.depth, _INDENT_MAX))
    return line.append_text(told)


def _since(seconds: float) -> str:
    return f"+{seconds * 1000:.0f} ms" if seconds < 10 else f"+{seconds:.1f} s"


def _took(detail: Object) -> str:
    return f"  {detail['seconds'] * 1000:.1f} ms" if detail.get("seconds") is not None else ""


def _named(step: Step) -> str:
    resource, key, revision = step.thing
    return f"{resource} {key}@{revision}" if revision else f"{resource} {key}"


def _request(step: Step) -> Text:
    detail = step.detail
    agent = str(detail["agent"]).partition("/")[0]
    below = f"/{detail['subresource']}" if detail["subresource"] else ""
    who = detail["user"]
    controller = who.startswith(_CONTROLLERS) and agent == "kube-controller-manager"
    if not controller and agent not in ("", who.removeprefix("system:")):
        who = f"{who} ({agent})"
    verb = _HOW.get(detail["how"]) or _ASKED.get(detail["verb"], "changes")
    if detail["subresource"] == "binding":
        verb = "binds"
    resource, key, revision = step.thing
    outcome = (f" @{revision}", "yellow") if detail["how"] else (f"  refused ({detail['code']})", "red")
    return Text.assemble(
        (who, "bold"), f" {verb} {resource}{below} ", (key, "bold"), outcome, (_took(detail), "dim")
    )  # fmt: skip


def _stored(step: Step) -> Text:
    return Text(f"{_HOW[step.detail['how']]} {_named(step)}")


def _heard(steps: Sequence[Step]) -> Text:
    told = Text("heard: ", style="dim")
    first = min(step.at for step in steps if step.what == "heard")
    later = [(step.where, step.at - first) for step in steps if step.what == "heard"]
    parts = [where if after < 0.001 else f"{where} {_since(after)}" for where, after in later]
    resource, key, revision = steps[0].thing
    return told.append(f"{resource} {key}@{revision} by {', '.join(parts)}")


def _reconciled(step: Step) -> Text:
    detail, (loop, key, _) = step.detail, step.thing
    causes = ", ".join(f"{resource}@{revision}" for resource, _, revision in detail["causes"]) or "time"
    told = Text.assemble((loop, "bold"), f" {key} because of {causes}", (_took(detail), "dim"))
    if detail.get("error"):
        told.append(f"  {detail['result']}: {detail['error']}", style="red")
    elif loop == "scheduler":
        told.append(f"  → {detail['result']}" if detail["result"] else "  → nowhere", style="cyan")
    return told


def _cri(step: Step) -> Text:
    detail = step.detail
    about = detail.get("container") or detail.get("image") or ""
    of_pod = f"{about} of {step.thing[1]}" if about else step.thing[1]
    told = Text.assemble((str(detail["call"]), "bold"), f" {of_pod}", (_took(detail), "dim"))
    return told.append(f"  {detail['error']}", style="red") if detail.get("error") else told


def _cni(step: Step) -> Text:
    detail = step.detail
    told = Text.assemble(
        (f"CNI {detail['call']}", "bold"), f" {detail['plugin']} of {step.thing[1]}", (_took(detail), "dim")
    )
    return told.append(f"  failed with {detail['code']}", style="red") if detail["code"] else told


def _ruled(step: Step) -> Text:
    detail = step.detail
    return Text.assemble(
        ("rules", "bold"), f" of Service {step.thing[1]} in the kernel, {detail['family']}, {detail['with']}",
        (_took(detail), "dim"),
    )  # fmt: skip


_TELL = {
    "request": _request,
    "stored": _stored,
    "reconciled": _reconciled,
    "cri": _cri,
    "cni": _cni,
    "ruled": _ruled,
}


def _below(step: Step, *, admission: bool, changes: bool) -> Iterator[tuple[str, str]]:
    """What is said of a request besides, with its style: admission, what it changed, and by which id the audit log
    knows the request."""
    told = False
    for each in step.detail["admission"]:
        if refused := each.get("refused"):
            told = True
            yield f"admission, {each['round']}: refused by {each.get('by') or 'a plug-in'}: {refused}", "red"
        elif admission:
            yield f"admission, {each['round']}: {', '.join(each['plugins'])}{_took(each)}", "dim"
        if admission or changes:
            for plugin, made in _by_plugin(each.get("changes", ())):
                yield f"  {plugin}: {', '.join(made)}", "dim"
    if not told and step.detail.get("refused"):
        yield f"refused: {step.detail['refused']}", "red"
    if step.depth == 0:
        yield f"audit id {step.detail['audit']}", "dim"


def _by_plugin(changes: Sequence[Sequence[str]]) -> Iterator[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for plugin, change in changes:
        short = change if len(change) <= _CHANGE_MAX else f"{change[: _CHANGE_MAX - 1]}…"
        found.setdefault(plugin, []).append(short)
    yield from found.items()
