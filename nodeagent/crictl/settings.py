"""Where the runtime is: the command line over /etc/crictl.yaml; and `crictl config`, which edits that file."""

from __future__ import annotations

from .complaints import Failed, say
from .tables import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .client import CriClient
    from .options import Options
    from .session import Session

ENDPOINTS = (
    "unix:///run/containerd/containerd.sock",
    "unix:///run/crio/crio.sock",
    "unix:///var/run/cri-dockerd.sock",
)
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


_KEYS = (
    "runtime-endpoint", "image-endpoint", "timeout", "debug", "pull-image-on-create", "disable-pull-on-run",
)  # fmt: skip


class Settings:
    """The configuration file's keys, with `_` for `-`. timeout: seconds."""

    def __init__(self) -> None:
        self.runtime_endpoint = self.image_endpoint = ""
        self.timeout = 0
        self.debug = self.pull_image_on_create = self.disable_pull_on_run = False

    def put(self, key: str, text: str) -> None:
        """Set a key as the file or `crictl config` spells it. Raises Failed."""
        name = key.replace("-", "_")
        if key not in _KEYS:
            raise Failed(f"no configuration option named {key}")
        if name == "timeout":
            if not text.lstrip("+-").isdecimal():
                raise Failed(f"parse timeout value '{text}': strconv.Atoi: parsing \"{text}\": invalid syntax")
            self.timeout = int(text)
        elif name in ("runtime_endpoint", "image_endpoint"):
            setattr(self, name, text)
        elif text.lower() not in _BOOLEANS:
            raise Failed(f"parse {key} value '{text}': strconv.ParseBool: parsing \"{text}\": invalid syntax")
        else:
            setattr(self, name, _BOOLEANS[text.lower()])

    def shown(self) -> list[tuple[str, str]]:
        """Key and value as text, in the file's order."""
        pairs = [(key, getattr(self, key.replace("-", "_"))) for key in _KEYS]
        return [(key, str(value).lower() if isinstance(value, bool) else str(value)) for key, value in pairs]


def read_settings(path: str) -> Settings:
    """The file's settings. Raises OSError, Failed."""
    settings = Settings()
    for line in _lines(path):
        key, sign, value = line.partition(":")
        if not sign or line.lstrip().startswith("#"):
            continue
        text = value.partition(" #")[0].strip().strip("\"'")
        # Keys of newer versions are passed over, as by every reader of this file.
        if key.strip() in _KEYS:
            settings.put(key.strip(), text)
    return settings


def _lines(path: str) -> list[str]:
    # pathlib's import would be a third of a whole start.
    with open(path) as file:  # noqa: PTH123
        return file.read().splitlines()


def config(options: Options, session: Session) -> int:
    """`crictl config`: show or set what the file says."""
    path = session.config_path
    try:
        _lines(path)
    except FileNotFoundError:
        _write(path, Settings(), [])
    settings = read_settings(path)
    if "get" in options.given:
        found = dict(settings.shown())
        if options["get"] not in found:
            raise Failed(f"no configuration option named {options['get']}")
        print(found[options["get"]])
        return 0
    if "list" in options.given:
        print(table([("KEY", "VALUE"), *settings.shown()]), end="")
        return 0
    if "set" in options.given:
        for setting in options["set"]:
            key, sign, value = setting.partition("=")
            if not sign or "=" in value:
                raise Failed(f"incorrectly specified option: {setting}")
            settings.put(key, value)
    else:
        if not options.arguments:
            return session.help()
        key, value = options.arguments[0], "".join(options.arguments[1:2])
        say("info", f'No --get, --set or --list provided, setting key "{key}" to value "{value}"')
        try:
            settings.put(key, value)
        except Failed as error:
            raise Failed(f'set "{key}" to "{value}": {error}') from None
    _write(path, settings, _lines(path))
    return 0


def _write(path: str, settings: Settings, old: list[str]) -> None:
    """Change the keys in place: comments and unknown keys stay."""
    left = dict(settings.shown())
    lines = []
    for line in old:
        key = line.partition(":")[0].strip()
        if key in left and not line.lstrip().startswith("#"):
            lines.append(_line(key, left.pop(key)))
        else:
            lines.append(line)
    lines += [_line(key, value) for key, value in left.items()]
    from pathlib import Path

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(f"{line}\n" for line in lines))


def _line(key: str, value: str) -> str:
    return f"{key}: {value or chr(34) * 2}"


def connect(endpoint: str, timeout: float, service: str) -> CriClient:
    """A client of `endpoint`, or of the first known one that answers when it is "". Raises Failed."""
    from .client import CriClient

    if endpoint:
        return CriClient(endpoint, timeout, service)
    prefix = "runtime" if service == "runtime" else "Image"
    listed = " ".join(ENDPOINTS)
    say(
        "warning",
        f"{prefix} connect using default endpoints: [{listed}]. As the default settings are now deprecated, you should "
        "set the endpoint instead.",
    )
    problem = Failed("")
    for candidate in ENDPOINTS:
        try:
            return CriClient(candidate, timeout, service)
        except Failed as error:
            problem = error
            say("error", str(error))
    raise problem
