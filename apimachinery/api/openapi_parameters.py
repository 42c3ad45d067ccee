"""What may be said to an operation besides its body: names and types (k8s.io/apimachinery's and core's …Options)."""

from typing import NamedTuple


class Parameter(NamedTuple):
    """One parameter. where: `query` or `path` (which is required)."""

    name: str
    type: str
    description: str
    where: str = "query"


def _table(*rows: tuple[str, str, str]) -> tuple[Parameter, ...]:
    return tuple(Parameter(*row) for row in rows)


PRETTY = Parameter("pretty", "string", "Indent the answer. By default only for browsers, curl and wget.")
NAMESPACE = Parameter("namespace", "string", "The namespace that holds the object.", "path")
PROXIED = Parameter("path", "string", "What to ask the target for.", "path")
_DRY_RUN = Parameter("dryRun", "string", "`All`: decide and answer, store nothing.")
_WRITES = (
    _DRY_RUN,
    Parameter("fieldManager", "string", "Who makes the change, for managedFields: up to 128 printable characters."),
    Parameter("fieldValidation", "string", "What to do with unknown and doubled fields: Ignore, Warn or Strict."),
)
_DELETES = (
    _DRY_RUN,
    *_table(
        ("gracePeriodSeconds", "integer", "Seconds before the object is removed; 0 removes it now."),
        ("orphanDependents", "boolean", "Deprecated by propagationPolicy: whether dependents are left behind."),
        ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
    ),
)
_SELECTS = _table(
    ("continue", "string", "Where the list before this one stopped, as its metadata.continue has it."),
    ("fieldSelector", "string", "Only objects with these fields."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "At most so many objects; the rest comes with `continue`."),
    ("resourceVersion", "string", "How old the answer may be, or from where to watch."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Begin a watch with what there is, as ADDED, ended by a bookmark."),
    ("timeoutSeconds", "integer", "How long the call may take, whatever it does."),
)
_LISTS = (
    Parameter("allowWatchBookmarks", "boolean", "Tell the watcher now and then how far it has come."),
    *_SELECTS,
    Parameter("watch", "boolean", "Stream the changes instead of answering with a list."),
)
BY_ACTION: dict[str, tuple[Parameter, ...]] = {
    "get": (),
    "list": _LISTS,
    "watch": _LISTS,
    "watchlist": _LISTS,
    "post": _WRITES,
    "put": _WRITES,
    "patch": (*_WRITES, Parameter("force", "boolean", "Apply: take fields over from other managers.")),
    "delete": _DELETES,
    "deletecollection": (*_DELETES, *_SELECTS),
}
"""The query of each x-kubernetes-action, `pretty` aside."""

_CONTAINER = Parameter("container", "string", "The container; not needed if there is only one.")
_STREAMS = (
    _CONTAINER,
    *_table(
        ("stderr", "boolean", "Carry its standard error."),
        ("stdin", "boolean", "Carry its standard input."),
        ("stdout", "boolean", "Carry its standard output."),
        ("tty", "boolean", "It has a terminal."),
    ),
)
_PROXY = (Parameter("path", "string", "What to ask the target for."),)
BY_OPTIONS: dict[str, tuple[Parameter, ...]] = {
    "PodAttachOptions": _STREAMS,
    "PodExecOptions": (Parameter("command", "string", "The program and its arguments, one each time."), *_STREAMS),
    "PodPortForwardOptions": (Parameter("ports", "integer", "The ports; needed by WebSockets alone."),),
    "PodProxyOptions": _PROXY,
    "ServiceProxyOptions": _PROXY,
    "NodeProxyOptions": _PROXY,
}
"""The query of what is connected to."""
LOG = (
    _CONTAINER,
    *_table(
        ("follow", "boolean", "Go on as lines are written."),
        ("insecureSkipTLSVerifyBackend", "boolean", "Do not look at the node's certificate."),
        ("limitBytes", "integer", "Stop after so many bytes."),
        ("previous", "boolean", "Of the container's run before this one."),
        ("sinceSeconds", "integer", "Only lines younger than that."),
        ("tailLines", "integer", "Only so many lines from the end."),
        ("timestamps", "boolean", "Put its time before each line."),
    ),
)
"""The query of pods/log (PodLogOptions)."""
