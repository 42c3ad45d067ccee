"""Where webhooks are reached (apiserver/pkg/util/webhook): a URL or a Service."""

from urllib.parse import urlsplit

from apimachinery.api.validation.checks import Object
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, invalid, required

_FORM = "; desired format: https://host[/path]"


def client_config(config: Object, path: Path) -> list[Problem]:
    """Exactly one of a URL and a Service."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    if url is not None:
        return webhook_url(url, path.child("url"))
    return webhook_service(service or {}, path.child("service"))


def webhook_url(text: str, path: Path) -> list[Problem]:
    """An https URL of a host and a path, nothing more."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        return [required(path, f"url must be a valid URL: parse {text!r}: {error}{_FORM}")]
    problems: list[Problem] = []
    if url.scheme != "https":
        problems.append(invalid(path, url.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    user, at, host = url.netloc.rpartition("@")
    if not host:
        problems.append(invalid(path, "", f"host must be specified{_FORM}"))
    if at:
        problems.append(invalid(path, user, "user information is not permitted in the URL"))
    if url.fragment:
        problems.append(invalid(path, url.fragment, "fragments are not permitted in the URL"))
    if url.query:
        problems.append(invalid(path, url.query, "query parameters are not permitted in the URL"))
    return problems


def webhook_service(service: Object, path: Path) -> list[Problem]:
    """A Service's name and namespace, a port, a path of DNS subdomains."""
    problems: list[Problem] = []
    # Upstream hands name and namespace over the wrong way round; its answers are kept.
    for field, value in (("name", "namespace"), ("namespace", "name")):
        if not service.get(value):
            problems.append(required(path.child(field), f"service {field} is required"))
    port = service.get("port") or 0
    if wrong := names.port_number(port):
        problems.append(invalid(path.child("port"), port, f"port is not valid: {', '.join(wrong)}"))
    text = service.get("path")
    return problems + _path(text, path.child("path")) if text is not None else problems


def _path(text: str, path: Path) -> list[Problem]:
    if text in ("", "/"):
        return []
    if text == "//":
        return [invalid(path, text, "segment[0] may not be empty")]
    problems = [] if text.startswith("/") else [invalid(path, text, "must start with a '/'")]
    for position, step in enumerate(text[1:].removesuffix("/").split("/")):
        wrong = [f"segment[{position}]: {each}" for each in names.dns1123_subdomain(step)]
        problems += [
            invalid(path, text, each) for each in (wrong if step else [f"segment[{position}] may not be empty"])
        ]
    return problems
