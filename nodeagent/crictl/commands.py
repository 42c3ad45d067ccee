"""Every command with its flags: a table, so that a command line is understood before anything else is imported."""

from __future__ import annotations

from .options import Command, Flag

_ENDPOINTS = "unix:///run/containerd/containerd.sock unix:///run/crio/crio.sock unix:///var/run/cri-dockerd.sock"


def _f(names: str, kind: str, usage: str, default: object = None, environment: str = "") -> Flag:
    return Flag(tuple(names.split(",")), kind, usage, default, environment)


GLOBAL_FLAGS = (
    _f("config,c", "string", "Location of the client config file. If not specified and the default does not exist, the "
       "program's directory is searched as well", "/etc/crictl.yaml", "CRI_CONFIG_FILE"),
    _f("runtime-endpoint,r", "string", "Endpoint of CRI container runtime service (default: uses in order the first "
       f"successful one of [{_ENDPOINTS}]). Default is now deprecated and the endpoint should be set instead.", None,
       "CONTAINER_RUNTIME_ENDPOINT"),
    _f("image-endpoint,i", "string", "Endpoint of CRI image manager service (default: uses 'runtime-endpoint' setting)",
       None, "IMAGE_SERVICE_ENDPOINT"),
    _f("timeout,t", "duration", "Timeout of connecting to the server in seconds (e.g. 2s, 20s.). 0 or less is set to "
       "default", 2.0),
    _f("debug,D", "bool", "Enable debug mode"),
)  # fmt: skip

_QUIET_INFO = _f("quiet,q", "bool", "Do not show verbose information")
_FORMAT = _f("output,o", "string", "Output format, One of: json|yaml|table", "table")
_FORMAT_FREE = _f("output,o", "string", "Output format, One of: json|yaml|table")
_FORMAT_ALL = _f("output,o", "string", "Output format, One of: json|yaml|go-template|table")
_FORMAT_JSON = _f("output,o", "string", "Output format, One of: json|yaml|go-template", "json")
_TEMPLATE = _f(
    "template", "string",
    "The template string is only used when output is go-template; The Template format is golang template",
)  # fmt: skip
_LABEL = _f("label", "list", "Filter by key=value label")
_NAMESPACE = _f("namespace", "string", "Filter by pod namespace regular expression pattern")
_NO_TRUNC = _f("no-trunc", "bool", "Show output without truncating the ID")
_CONTAINER_FILTERS = (
    _f("name", "string", "Filter by container name regular expression pattern"),
    _f("pod,p", "string", "Filter by pod id"),
    _f("image", "string", "Filter by container image"),
    _f("state,s", "string", "Filter by container state"),
    _LABEL,
    _f("all,a", "bool", "Show all containers"),
    _f("latest,l", "bool", "Show the most recently created container (includes all states)"),
    _f("last,n", "int", "Show last n recently created containers (includes all states). Set 0 for unlimited."),
    _NAMESPACE,
)
_POD_FILTERS = (
    _f("name", "string", "Filter by pod name regular expression pattern"),
    _NAMESPACE,
    _f("state,s", "string", "Filter by pod state"),
    _LABEL,
    _f("latest,l", "bool", "Show the most recently created pod"),
    _f("last,n", "int", "Show last n recently created pods. Set 0 for unlimited"),
)
_IMAGE_FILTER = _f(
    "filter,f", "list",
    "Filter output based on provided conditions: dangling=(true|false), reference=/regular expression/, "
    "before=<image>, since=<image>. Multiple filters can be combined together.",
)  # fmt: skip
_CREDENTIALS = (
    _f("creds", "string", "Use `USERNAME[:PASSWORD]` for accessing the registry", None, "CRICTL_CREDS"),
    _f("auth", "string", "Use `AUTH_STRING` for accessing the registry. AUTH_STRING is a base64 encoded "
       "'USERNAME[:PASSWORD]'", None, "CRICTL_AUTH"),
    _f("username,u", "string", "Use `USERNAME` for accessing the registry. The password will be requested on the "
       "command line"),
    _f("pull-timeout,pt", "duration", "Maximum time to be used for pulling the image, disabled if set to 0s", None,
       "CRICTL_PULL_TIMEOUT"),
)  # fmt: skip
_HANDLER = _f("runtime,r", "string", "Runtime handler to use. Available options are defined by the container runtime.")
_PULL = (
    _f("no-pull", "bool", "Do not pull the image (overrides the config)"),
    _f("with-pull", "bool", "Pull the image (overrides the config)"),
    _f("cancel-timeout,T", "duration", "Seconds to wait for the request to complete before cancelling it"),
    *_CREDENTIALS,
)
_SAMPLE = (
    _f("seconds,s", "int", "Sample duration for CPU usage in seconds", 1),
    _f("watch,w", "bool", "Watch pod resources"),
)
_TRANSPORT = _f("transport,r", "string", "Transport protocol to use, one of: spdy|websocket", "spdy")

COMMANDS = (
    Command("attach", "Attach to a running container", "streaming:attach", "CONTAINER-ID", (
        _f("stdin,i", "bool", "Keep STDIN open"),
        _f("tty,t", "bool", "Allocate a pseudo-TTY"),
        _TRANSPORT,
    )),
    Command("config", "Get, set and list crictl configuration options", "settings:config", "[<crictl options>]", (
        _f("get", "string", "Show the option value"),
        _f("set", "list", "Set option (can specify multiple or separate values with commas: opt1=val1,opt2=val2)"),
        _f("list", "bool", "Show all option value"),
    )),
    Command("create", "Create a new container", "containers:create",
            "POD container-config.[json|yaml] pod-config.[json|yaml]", _PULL),
    Command("events", "Stream the events of containers", "runtime:events", "", (_FORMAT_JSON, _TEMPLATE), ("event",)),
    Command("exec", "Run a command in a running container", "streaming:execute", "CONTAINER-ID COMMAND [ARG...]", (
        _f("sync,s", "bool", "Run the command synchronously"),
        _f("timeout", "int", "Timeout in seconds"),
        _f("tty,t", "bool", "Allocate a pseudo-TTY"),
        _f("interactive,i", "bool", "Keep STDIN open"),
        _TRANSPORT,
        _f("name", "string", "Exec command for all containers matching this name filter regular expression pattern"),
        _f("pod,p", "string", "Exec command for all containers matching this pod ID filter"),
        _f("image", "string", "Exec command for all containers matching this container image filter"),
        _f("state", "string", "Exec command for all containers matching this container state filter"),
        _f("label", "list", "Exec command for all containers matching this key=value label filter"),
        _f("latest,l", "bool", "Exec command for the most recently created container"),
        _f("last,n", "int", "Exec command for all last n containers, set to 0 for unlimited"),
        _f("quiet,q", "bool", "Do not print the container ID if multiple containers are selected"),
        _f("ignore-errors,e", "bool", "Ignore errors during command execution"),
    )),
    Command("imagefsinfo", "Return image filesystem info", "images:filesystems", "", (_FORMAT_ALL, _TEMPLATE)),
    Command("images", "List images", "images:images", "[REPOSITORY[:TAG]]", (
        _f("verbose,v", "bool", "Show verbose info for images"),
        _f("quiet,q", "bool", "Only show image IDs"),
        _IMAGE_FILTER,
        _FORMAT_FREE,
        _f("digests", "bool", "Show digests"),
        _NO_TRUNC,
        _f("pinned", "bool", "Show whether the image is pinned or not"),
    ), ("image", "img")),
    Command("info", "Display information of the container runtime", "runtime:info", "",
            (_FORMAT_JSON, _QUIET_INFO, _TEMPLATE)),
    Command("inspect", "Display the status of one or more containers", "inspecting:inspect",
            "CONTAINER-ID [CONTAINER-ID...]", (_FORMAT_ALL, _QUIET_INFO, _TEMPLATE, *_CONTAINER_FILTERS)),
    Command("inspecti", "Return the status of one or more images", "images:inspecti", "IMAGE-ID [IMAGE-ID...]", (
        _FORMAT_ALL, _QUIET_INFO, _TEMPLATE, _f("name", "string", "Filter by image name"), _IMAGE_FILTER)),
    Command("inspectp", "Display the status of one or more pods", "inspecting:inspectp", "POD-ID [POD-ID...]",
            (_FORMAT_ALL, _QUIET_INFO, _TEMPLATE, *_POD_FILTERS)),
    Command("logs", "Fetch the logs of a container", "logs:logs", "CONTAINER-ID", (
        _f("follow,f", "bool", "Follow log output"),
        _f("previous,p", "bool", "Print the logs for the previous instance of the container in a pod if it exists"),
        _f("reopen,r", "bool", "Reopen the container logs for the provided container"),
        _f("tail", "int", "Number of lines to show from the end of the logs. Defaults to all", -1),
        _f("limit-bytes", "int", "Maximum bytes of logs to return. Defaults to no limit", -1),
        _f("since", "string", "Show logs since timestamp (e.g. 2013-01-02T13:23:37) or relative (e.g. 42m for 42 "
           "minutes)"),
        _f("timestamps,t", "bool", "Show timestamps"),
    )),
    Command("pods", "List pods", "listing:pods", "", (
        _f("id", "string", "filter by pod id"),
        *_POD_FILTERS,
        _f("verbose,v", "bool", "Show verbose info for pods"),
        _f("quiet,q", "bool", "List only pod IDs"),
        _FORMAT,
        _NO_TRUNC,
    )),
    Command("port-forward", "Forward local port to a pod", "forwarding:forward", "POD-ID [LOCAL_PORT:]REMOTE_PORT"),
    Command("ps", "List containers", "listing:ps", "", (
        _f("verbose,v", "bool", "Show verbose information for containers"),
        _f("id", "string", "Filter by container id"),
        *_CONTAINER_FILTERS,
        _f("quiet,q", "bool", "Only display container IDs"),
        _FORMAT,
        _NO_TRUNC,
        _f("resolve-image-path,r", "bool", "Show image path instead of image id"),
    )),
    Command("pull", "Pull an image from a registry", "images:pull", "NAME[:TAG|@DIGEST]", (
        *_CREDENTIALS,
        _f("pod-config", "string", "Use `pod-config.[json|yaml]` to override the pull c"),
        _f("annotation,a", "list", "Annotation to be set on the pulled image"),
    )),
    Command("rm", "Remove one or more containers", "containers:remove", "CONTAINER-ID [CONTAINER-ID...]", (
        _f("force,f", "bool", "Force removal of the container, disregarding if running"),
        _f("keep-logs,k", "bool", "Preserve the container log file and its rotations"),
        _f("all,a", "bool", "Remove all containers"),
    )),
    Command("rmi", "Remove one or more images", "images:remove", "IMAGE-ID [IMAGE-ID...]", (
        _f("all,a", "bool", "Remove all images"),
        _f("prune,q", "bool", "Remove all unused images"),
    )),
    Command("rmp", "Remove one or more pods", "sandboxes:remove", "POD-ID [POD-ID...]", (
        _f("force,f", "bool", "Force removal of the pod sandbox, disregarding if running"),
        _f("all,a", "bool", "Remove all pods"),
    )),
    Command("run", "Run a new container inside a sandbox", "containers:run",
            "container-config.[json|yaml] pod-config.[json|yaml]", (*_PULL, _HANDLER)),
    Command("runp", "Run a new pod", "sandboxes:run", "pod-config.[json|yaml]", (
        _HANDLER,
        _f("cancel-timeout,T", "duration",
           "Seconds to wait for a run pod sandbox request to complete before cancelling the request"),
    )),
    Command("runtime-config", "Retrieve the container runtime configuration", "runtime:runtime_config"),
    Command("start", "Start one or more created containers", "containers:start", "CONTAINER-ID [CONTAINER-ID...]"),
    Command("stats", "List container(s) resource usage statistics", "stats:stats", "[ID]", (
        _f("all,a", "bool", "Show all containers (default shows just running)"),
        _f("id", "string", "Filter by container id"),
        _f("pod,p", "string", "Filter by pod id"),
        _LABEL,
        _FORMAT_FREE,
        *_SAMPLE,
    )),
    Command("statsp", "List pod statistics. Stats represent a structured API that will fulfill the Kubelet's "
            "/stats/summary endpoint.", "stats:statsp", "[ID]", (
        _f("id", "string", "Filter by pod id"),
        _LABEL,
        _FORMAT_FREE,
        *_SAMPLE,
    )),
    Command("stop", "Stop one or more running containers", "containers:stop", "CONTAINER-ID [CONTAINER-ID...]", (
        _f("timeout,t", "int", "Seconds to wait to kill the container after a graceful stop is requested"),
    )),
    Command("stopp", "Stop one or more running pods", "sandboxes:stop", "POD-ID [POD-ID...]"),
    Command("update", "Update one or more running containers", "containers:update", "CONTAINER-ID [CONTAINER-ID...]", (
        _f("cpu-period", "int", "CPU CFS period to be used for hardcapping (in usecs). 0 to use system default"),
        _f("cpu-quota", "int", "CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period"),
        _f("cpu-share", "int", "CPU shares (relative weight vs. other containers)"),
        _f("memory", "int", "Memory limit (in bytes)"),
        _f("cpuset-cpus", "string", "CPU(s) to use"),
        _f("cpuset-mems", "string", "Memory node(s) to use"),
    )),
    Command("version", "Display runtime version information", "runtime:version"),
)  # fmt: skip


def find(name: str) -> Command | None:
    """The command of that name or alias."""
    return next((command for command in COMMANDS if name == command.name or name in command.aliases), None)
