"""Where packages come from: the mirrors that this machine's own apt uses, with the suite exchanged for the guest's.

No host name is written anywhere in kubelab: a lab behind a company mirror, a proxy or a snapshot works as its host
does. Formats: sources.list(5), one-line and deb822.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from provisioner.images.errors import ImageError
from provisioner.images.tools import run_tool

#: The guest's Debian release.
RELEASE = "trixie"

_KEPT_OPTIONS = ("trusted", "check-valid-until")


@dataclass(frozen=True)
class Source:
    """One archive as sources.list(5) knows it; ``options`` have lower-case names."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()


def parse_one_line(text: str) -> list[Source]:
    """The ``deb`` lines of a ``.list`` file."""
    sources = []
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$", line.split("#")[0].strip())
        if match:
            pairs = (word.partition("=") for word in (match[1] or "").split())
            options = tuple((name.lower(), value) for name, _, value in pairs)
            sources.append(Source((match[2],), (match[3],), tuple(match[4].split()), options))
    return sources


def parse_deb822(text: str) -> list[Source]:
    """The enabled ``deb`` stanzas of a ``.sources`` file."""
    sources = []
    for stanza in re.split(r"\n\s*\n", "\n".join(line for line in text.splitlines() if not line.startswith("#"))):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() not in ("no", "false"):
            known = {"types", "uris", "suites", "components", "enabled"}
            options = tuple((key, value) for key, value in fields.items() if key not in known)
            split = {key: tuple(fields.get(key, "").split()) for key in ("uris", "suites", "components")}
            sources.append(Source(split["uris"], split["suites"], split["components"], options))
    return sources


def plan_sources(sources: Iterable[Source], codename: str, release: str = RELEASE) -> list[str]:
    """The guest's ``deb`` lines: Debian's own archives of the host (``codename``, -updates, -security), moved to
    ``release``.

    Archives signed by other keys than Debian's (``Signed-By``) and other people's suites are left out. Empty when the
    host has no Debian archive.
    """
    suites = {f"{name}{pocket}": pocket for name in (codename, "stable") for pocket in ("", "-updates", "-security")}
    lines: list[str] = []
    for source in sources:
        options = dict(source.options)
        signed_by = options.get("signed-by", "")
        if signed_by.startswith("/") and "debian-archive" not in signed_by:
            continue
        kept = " ".join(f"{name}={options[name]}" for name in _KEPT_OPTIONS if name in options)
        for uri in source.uris:
            for suite in source.suites:
                if suite in suites and "main" in source.components:
                    line = f"deb {f'[{kept}] ' if kept else ''}{uri} {release}{suites[suite]} main"
                    if line not in lines:
                        lines.append(line)
    return lines


def guest_sources(etc: Path = Path("/etc")) -> list[str]:
    """The guest's ``deb`` lines for this machine. Raises ``ImageError`` when its apt knows no Debian mirror."""
    apt = etc / "apt"
    sources: list[Source] = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]:
        if path.is_file():
            sources += parse_one_line(path.read_text())
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        sources += parse_deb822(path.read_text())
    release = dict(line.partition("=")[::2] for line in (etc / "os-release").read_text().splitlines())
    lines = plan_sources(sources, release.get("VERSION_CODENAME", "").strip('"'))
    if not any(line.endswith(f" {RELEASE} main") for line in lines):
        raise ImageError(
            f"no Debian mirror in {apt}/sources.list or {apt}/sources.list.d: the guest image is Debian {RELEASE}, "
            "built from the mirror that this machine's apt uses; add a 'deb' line for this machine's own release"
        )
    return lines


def host_apt_options() -> list[str]:
    """This machine's apt settings without which its mirrors may not answer the guest build's apt either: proxies,
    certificates, and the date checks (snapshot mirrors)."""
    wanted = r"Acquire::(https?::(\S+::)?(Proxy|CaInfo|CAInfo)\S*|Check-Valid-Until|Check-Date) \"[^\"]+\";"
    return [line for line in run_tool("apt-config", "dump").decode().splitlines() if re.fullmatch(wanted, line)]


def archive_keyring(workdir: Path, installed: Path = Path("/usr/share/keyrings/debian-archive-keyring.gpg")) -> Path:
    """A keyring that holds the guest release's signing keys.

    The installed one when it is recent enough; otherwise that of the current package for the host's own release,
    fetched and verified by the host's apt (Debian adds a coming release's keys to the older releases' package).
    """
    if _knows_release(installed):
        return installed
    folder = workdir / "keyring"
    folder.mkdir(parents=True, exist_ok=True)
    run_tool("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", "debian-archive-keyring", cwd=folder)
    for package in folder.glob("*.deb"):
        run_tool("dpkg-deb", "-x", package, folder)
    fetched = folder / installed.relative_to("/")
    if not _knows_release(fetched):
        raise ImageError(
            f"debian-archive-keyring lacks the keys of {RELEASE}: "
            "apt-get update && apt-get install debian-archive-keyring"
        )
    return fetched


def _knows_release(keyring: Path) -> bool:
    """The package ships one file per release's key beside the joint keyring: the file's presence tells."""
    return keyring.is_file() and keyring.with_name(f"debian-archive-{RELEASE}-stable.gpg").is_file()
