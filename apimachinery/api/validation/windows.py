"""Windows options of security contexts, which are checked whatever the pod's system is (pkg/apis/core/validation)."""

import re

from apimachinery.api.validation.checks import Object, dns_subdomain
from apimachinery.meta.paths import Path, Problem, invalid

_CREDENTIAL_KIB = 64
_DOMAIN_MAX = 256  # characters, less one
_USER_MAX = 104  # characters
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_FORBIDDEN = re.compile(r'["/\\:;|=,+*?<>@\[\]]')
_BLANK = re.compile(r"[. ]+")
_KINDS = ("initContainers", "containers", "ephemeralContainers")


def windows_options(options: Object | None, path: Path) -> list[Problem]:
    """`windowsOptions` of a pod's or a container's security context."""
    if options is None:
        return []
    problems: list[Problem] = []
    if (name := options.get("gmsaCredentialSpecName")) is not None:
        problems += dns_subdomain(name, path.child("gmsaCredentialSpecName"))
    if (text := options.get("gmsaCredentialSpec")) is not None:
        where = path.child("gmsaCredentialSpec")
        if not text:
            problems.append(invalid(where, text, "gmsaCredentialSpec cannot be an empty string"))
        elif len(text.encode()) > _CREDENTIAL_KIB * 1024:
            problems.append(invalid(where, text, f"gmsaCredentialSpec size must be under {_CREDENTIAL_KIB} KiB"))
    if (user := options.get("runAsUserName")) is not None:
        where = path.child("runAsUserName")
        problems += [invalid(where, user, f"runAsUserName{sentence}") for sentence in _user_name(user)]
    return problems


def _user_name(name: str) -> list[str]:
    """What is wrong with `DOMAIN\\USER` or `USER`."""
    if not name:
        return [" cannot be an empty string"]
    if _CONTROL.search(name):
        return [" cannot contain control characters"]
    parts = name.split("\\")
    if len(parts) > 2:
        return [" cannot contain more than one backslash"]
    user = parts[-1]
    found: list[str] = []
    if len(parts) == 2:
        if len(parts[0].encode()) >= _DOMAIN_MAX:
            found.append(f"'s Domain length must be under {_DOMAIN_MAX} characters")
        if not (_NETBIOS.fullmatch(parts[0]) or _DNS.fullmatch(parts[0])):
            found.append("'s Domain doesn't match the NetBios nor the DNS format")
    if not user:
        found.append("'s User cannot be empty")
    elif len(user.encode()) > _USER_MAX:
        found.append(f"'s User length must not be longer than {_USER_MAX} characters")
    if _BLANK.fullmatch(user):
        found.append("'s User cannot contain only periods or spaces")
    if _FORBIDDEN.search(user):
        found.append("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    return found


def host_processes(spec: Object, path: Path) -> list[Problem]:
    """A pod runs as processes of its host with all its containers or with none, and then in the host's network."""
    own = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    problems: list[Problem] = []
    on_host = total = 0
    for kind in _KINDS:
        for position, container in enumerate(spec.get(kind) or ()):
            total += 1
            said = ((container.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
            if own is not None and said is not None and own != said:
                where = path.child(kind).index(position).child("securityContext", "windowsOptions", "hostProcess")
                text = f"pod hostProcess value must be identical if both are specified, was {str(own).lower()}"
                problems.append(invalid(where, said, text))
            on_host += bool(own if said is None else said)
    if not on_host:
        return problems
    if on_host != total:
        text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        problems.append(invalid(path, "", text))
    if not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        problems.append(invalid(path.child("hostNetwork"), False, text))
    return problems
