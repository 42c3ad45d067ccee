"""Where the API server is and who we are: kubeconfig files and the in-cluster service account."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apimachinery.kit import tls
from apimachinery.kit.config import ConfigError

_NOT_HERE = ("exec", "auth-provider", "as")
IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """One cluster and one identity. PEM as bytes; `token_file` is read again for every request (tokens rotate).
    username and password: of HTTP's basic authentication."""

    server: str
    ca_data: bytes | None = None
    cert_data: bytes | None = None
    key_data: bytes | None = None
    token: str | None = None
    token_file: Path | None = None
    namespace: str = "default"
    username: str = ""
    password: str = ""

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context to dial `server` with; None for plain HTTP."""
        if not self.server.startswith("https://"):
            return None
        if self.cert_data is None or self.key_data is None:
            return tls.client_context(self.ca_data)
        # The ssl module loads certificates from files only. The directory is private and gone at once.
        with tempfile.TemporaryDirectory(prefix="kubelab-tls-") as directory:
            cert, key = Path(directory, "cert"), Path(directory, "key")
            cert.write_bytes(self.cert_data)
            key.touch(mode=0o600)
            key.write_bytes(self.key_data)
            return tls.client_context(self.ca_data, cert, key)

    def bearer(self) -> str | None:
        """The token to show, or None."""
        if self.token_file is not None:
            return self.token_file.read_text().strip()
        return self.token

    def authorization(self) -> str | None:
        """The header that says who asks, or None. Raises OSError."""
        if token := self.bearer():
            return f"Bearer {token}"
        if self.username or self.password:
            return f"Basic {_b64(f'{self.username}:{self.password}'.encode())}"
        return None


def load_kubeconfig(path: Path | str, context: str | None = None) -> ClientConfig:
    """Read a kubeconfig file (v1/Config), data inline or in files relative to it.

    context: its name; the current context when None. Raises ConfigError naming the file and what is wrong with it.
    """
    path = Path(path)
    document = _read(path)
    name = context or document.get("current-context") or ""
    chosen = _named(path, document, "contexts", "context", name)
    cluster = _named(path, document, "clusters", "cluster", chosen.get("cluster", ""))
    user = _named(path, document, "users", "user", chosen["user"]) if chosen.get("user") else {}
    if not cluster.get("server"):
        raise ConfigError([f"{path}: cluster {chosen.get('cluster')!r} has no server"])
    return replace(
        _identity(path, user),
        server=cluster["server"].rstrip("/"),
        ca_data=_data(path, cluster, "certificate-authority"),
        namespace=chosen.get("namespace") or "default",
    )


def load_users(path: Path | str) -> tuple[dict[str, ClientConfig], str]:
    """Every identity of a kubeconfig file by its name, without a server, and the name of the current context's ("" when
    there is none). Raises ConfigError, also for an identity that has to be asked for or borrowed."""
    path = Path(path)
    document = _read(path)
    found: dict[str, ClientConfig] = {}
    for entry in document.get("users") or []:
        name, user = str(entry.get("name")), entry.get("user") or {}
        if foreign := [each for each in _NOT_HERE if user.get(each)]:
            raise ConfigError([f"{path}: user {name!r}: {foreign[0]} is not supported"])
        found[name] = _identity(path, user)
    current = document.get("current-context")
    chosen = [each.get("context") or {} for each in document.get("contexts") or [] if each.get("name") == current]
    return found, str(chosen[0].get("user") or "") if current and chosen else ""


def _read(path: Path) -> dict[str, Any]:
    from apimachinery.meta.yaml_text import BadYaml, load  # 10 ms, and only who reads or writes a file needs it

    try:
        document = load(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError([f"stat {path}: no such file or directory"]) from None  # the first thing that Go does with it
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    except BadYaml as error:
        raise ConfigError([f'error loading config file "{path}": {error}']) from None
    if not isinstance(document, dict):
        raise ConfigError([f"{path}: not a kubeconfig"])
    return document


def _identity(path: Path, user: dict[str, Any]) -> ClientConfig:
    token_file = user.get("tokenFile")
    return ClientConfig(
        server="",
        cert_data=_data(path, user, "client-certificate"),
        key_data=_data(path, user, "client-key"),
        token=user.get("token"),
        token_file=path.parent / token_file if token_file else None,
        username=str(user.get("username") or ""),
        password=str(user.get("password") or ""),
    )


def load_in_cluster(root: Path = IN_CLUSTER) -> ClientConfig:
    """The identity that a pod is given: its service account's token, read from `root`.

    Raises ConfigError outside a pod.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError(["in-cluster configuration: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be set"])
    try:
        ca_data, namespace = (root / "ca.crt").read_bytes(), (root / "namespace").read_text().strip()
    except OSError as error:
        raise ConfigError([f"{error.filename}: {error.strerror}"]) from None
    address = f"[{host}]" if ":" in host else host
    return ClientConfig(
        server=f"https://{address}:{port}", ca_data=ca_data, token_file=root / "token", namespace=namespace
    )


def render_kubeconfig(
    *, server: str, ca_data: bytes, user: str, cluster: str = "kubernetes", cert_data: bytes, key_data: bytes
) -> str:
    """A kubeconfig file for one user with a client certificate, laid out as kubeadm writes it."""
    context = f"{user}@{cluster}"
    import yaml

    document = {
        "apiVersion": "v1",
        "clusters": [{"cluster": {"certificate-authority-data": _b64(ca_data), "server": server}, "name": cluster}],
        "contexts": [{"context": {"cluster": cluster, "user": user}, "name": context}],
        "current-context": context,
        "kind": "Config",
        "preferences": {},
        "users": [
            {
                "name": user,
                "user": {"client-certificate-data": _b64(cert_data), "client-key-data": _b64(key_data)},
            }
        ],
    }
    return yaml.safe_dump(document, sort_keys=False)


def _named(path: Path, document: dict[str, Any], plural: str, singular: str, name: str) -> dict[str, Any]:
    for entry in document.get(plural) or []:
        if entry.get("name") == name:
            return entry.get(singular) or {}
    raise ConfigError([f"{path}: there is no {singular} {name!r}"])


def _data(path: Path, section: dict[str, Any], key: str) -> bytes | None:
    if inline := section.get(f"{key}-data"):
        return base64.b64decode(inline)
    file: str | None = section.get(key)
    if not file:
        return None
    try:
        return (path.parent / file).read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: {key} {file}: {error.strerror}"]) from None


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
