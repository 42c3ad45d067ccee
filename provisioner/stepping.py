"""What ``kubelab step`` shows, as lines for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from apimachinery.meta.changes import find_changes
from apimachinery.meta.times import human_duration
from provisioner.errors import BadInput

Object = dict[str, Any]

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COLOURS = {"POST": "green", "PUT": "yellow", "PATCH": "yellow", "DELETE": "red"}
_SHORT = {
    "rs": "replicaset", "rc": "replicationcontroller", "deploy": "deployment", "sts": "statefulset", "ds": "daemonset",
    "cj": "cronjob", "hpa": "horizontal-pod-autoscaler", "pdb": "disruption", "quota": "resourcequota",
    "ns": "namespace", "ep": "endpoint", "sa": "serviceaccount", "pv": "persistentvolume-binder",
    "pvc": "persistentvolume-binder", "gc": "garbage-collector", "csr": "certificatesigningrequest",
}  # fmt: skip
_NO_OBJECT: Object = {}  # the key names none: it is a round over many
_CHANGES_MAX = 12
"""Changed fields of one write that are shown."""


def find_loop(word: str, names: Sequence[str]) -> str:
    """The loop that `word` names: all of a name, without its -controller, its beginning, or as kubectl shortens what it
    is about. Raises BadInput."""
    word = _SHORT.get(word, word)
    for fits in (
        lambda name: name in (word, f"{word}-controller"),
        lambda name: name.startswith(word.removesuffix("s")),
    ):
        found = [name for name in names if fits(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise BadInput([f"step: {word!r} may be {', '.join(found)}"])
    raise BadInput([f"step: there is no loop {word!r}; kubelab step --list names them"])


def complete_key(key: str, loop: Object, namespace: str) -> str:
    """The key that somebody means who names an object without its namespace. loop: as the glass box describes it."""
    return f"{namespace}/{key}" if key and "/" not in key and loop.get("namespaced") else key


def render_list(loops: Sequence[Object]) -> list[Text]:
    """A line for each loop, the processes one after the other."""
    wide = max([4, *(len(loop["name"]) for loop in loops)])
    process = max([7, *(len(loop["component"]) for loop in loops)])
    lines = [Text(f"{'PROCESS':{process}}  {'LOOP':{wide}}  STATE    READY  WORKING  LATER  NEXT")]
    for loop in loops:
        counts = [str(loop["counts"][part] or "-") for part in ("ready", "working", "later")]
        state, style = ("paused", "bold yellow") if loop["paused"] else ("running", "green")
        line = Text.assemble(f"{loop['component']:{process}}  {loop['name']:{wide}}  ", (f"{state:7}", style))
        line.append(f"  {counts[0]:>5}  {counts[1]:>7}  {counts[2]:>5}  {_next(loop)}".rstrip())
        lines.append(line)
    return lines


def _next(loop: Object) -> str:
    if loop["ready"]:
        return str(loop["ready"][0])
    return _later(loop["later"][0]) if loop["later"] else ""


def _later(later: Object) -> str:
    failed = f" (failed {later['failures']}×)" if later["failures"] else ""
    when = "when something changes" if later["after"] is None else f"in {spell_wait(later['after'])}"
    refused = f" (refused by {', '.join(later['refused'])})" if later.get("refused") else ""
    return f"{later['key']} {when}{refused or failed}"


def spell_wait(seconds: float) -> str:
    """How long until a turn: tenths of seconds matter only while they pass before one's eyes."""
    return f"{seconds:.1f} s" if seconds < 120 else human_duration(seconds)


def render_waiting(loop: Object) -> list[Text]:
    """Why there is no next key, and what is to come."""
    lines = [Text(f"No key of {loop['name']} is ready.")]
    lines += [Text(f"  {_later(later)}", style="dim") for later in loop["later"][:10]]
    lines += [Text(f"  {key}: being worked on", style="dim") for key in loop["working"][:10]]
    return lines


def render_rehearsal(loop: str, told: Object) -> Iterator[Any]:
    """Desired, actual, and what the turn would do."""
    yield Text.assemble((loop, "bold"), "  next key ", (told["key"], "bold cyan"))
    yield from _render_picture(told.get("picture"))
    yield from _render_scores(told)
    if not told["writes"] and not told["error"]:
        yield Text("  would write nothing", style="dim")
    for number, write in enumerate(told["writes"], 1):
        yield from _render_write(number, write)
    for event in told["events"]:
        colour = "yellow" if event["type"] == "Warning" else "dim"
        yield Text(f"  event {event['reason']}: {event['message']}", style=colour)
    if told["again"] is not None:
        yield Text(f"  and would come back in {spell_wait(told['again'])}", style="dim")
    if told["error"]:
        yield Text(f"  and would fail: {told['error']}", style="red")


def _render_picture(picture: Object | None) -> Iterator[Any]:
    if picture is None:
        return
    about = picture.get("object", _NO_OBJECT)
    if about is None:
        yield Text("  the object is gone", style="dim")
    elif about.get("resourceVersion"):
        yield Text(f"  {about['kind']} at revision {about['resourceVersion']}", style="dim")
    elif about:
        yield Text(f"  {about['kind']} {about['key']}", style="dim")
    if not picture["rows"]:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("", "DESIRED", "ACTUAL", ""):
        table.add_column(column, no_wrap=True)
    for what, desired, actual in picture["rows"]:
        same = desired == actual
        table.add_row(
            f"  {what}", _short(desired), Text(_short(actual), style="" if same else "bold yellow"), "" if same else "←"
        )
    yield table


def _render_scores(told: Object) -> Iterator[Text]:
    scores = told.get("scores", {})
    best = max(scores.values(), default=0)
    for node, total in sorted(scores.items(), key=lambda each: (-each[1], each[0])):
        if len(scores) == 1:
            yield Text(f"  {node}: the only node that fits", style="green")
            continue
        yield Text(f"  {node}: score {total}", style="green" if total == best else "")
    for node, verdict in sorted(told.get("refusals", {}).items()):
        yield Text(f"  {node}: {verdict['plugin']}: {', '.join(verdict['reasons'])}", style="yellow")


def _render_write(number: int, write: Object) -> Iterator[Text]:
    if write.get("does"):
        yield Text(f"  {number}. {write['does']}", style="bold magenta")
        return
    after, before = write.get("after"), write.get("before")
    bound = str(write["path"]).endswith("/binding")
    verb = "bind" if bound else _VERBS[write["method"]]
    target = f" to {write['body']['target']['name']}" if bound else ""
    yield Text.assemble(f"  {number}. ", (verb, f"bold {_COLOURS[write['method']]}"), f" {_named(write)}{target}")
    if write.get("error"):
        yield Text(f"       refused: {write['error']}", style="red")
    elif before is not None and after is not None:
        changes = list(find_changes(before, after))
        for path, old, new in changes[:_CHANGES_MAX]:
            yield Text(f"       {path}: {_short(old)} → {_short(new)}", style="dim")
        if len(changes) > _CHANGES_MAX:
            yield Text(f"       … {len(changes) - _CHANGES_MAX} more", style="dim")


def _named(write: Object) -> str:
    obj = write.get("after") or write.get("before") or {}
    words = str(write["path"]).strip("/").split("/")
    words = words[2:] if words[0] == "api" else words[3:]
    namespace = ""
    if words[:1] == ["namespaces"] and len(words) > 2:
        namespace, words = f"{words[1]}/", words[2:]
    name = (obj.get("metadata") or {}).get("name") or (words[1] if len(words) > 1 else "")
    asked = (write["body"] or {}) if isinstance(write["body"], dict) else {}
    if generated := (asked.get("metadata") or {}).get("generateName"):
        name = f"{generated}…"  # the real one will be another
    below = f" ({words[2]})" if len(words) > 2 and words[2] != "binding" else ""
    return f"{obj.get('kind') or words[0]} {namespace}{name}{below}"


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
