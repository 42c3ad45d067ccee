"""Who decides, and which webhooks are asked to review tokens and access, as flags spell it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from apimachinery.kit.config import ConfigError, Problems
from controlplane.apiserver.authz.configuration import (
    TYPES,
    AuthorizerSettings,
    ConfigurationFile,
    Settings,
    WebhookSettings,
    parse,
    usual,
)
from controlplane.apiserver.flags import Flags

if TYPE_CHECKING:
    from apimachinery.client.config import ClientConfig
    from controlplane.apiserver.authz.abac import Policy as ABACPolicy

_TTLS = ("cache-authorized-ttl", "cache-unauthorized-ttl")


class Webhook(Struct, frozen=True):
    """A webhook that answers reviews. client: where it is, and who we are to it; version: of their group; ttl: seconds
    that a good answer holds."""

    client: ClientConfig
    version: str
    ttl: float


def configuration_file(flags: Flags) -> ConfigurationFile | None:
    """--authorization-config, if it is given, as it is now."""
    path = flags.file("authorization-config")
    others = ("mode", *(f"webhook-{each}" for each in ("config-file", "version", *_TTLS)))
    if path is None:
        return None
    if any(flags.was_given(f"authorization-{other}") for other in others):
        told = "can not be specified when --authorization-mode or --authorization-webhook-* flags are defined"
        flags.problems.add("--authorization-config", told)
    try:
        return ConfigurationFile(path, path.read_bytes())
    except OSError:
        return None  # `flags` told


def authorizers(flags: Flags, file: ConfigurationFile | None) -> Settings:
    """Who decides, in order."""
    problems = flags.problems
    if file is None:
        found = _modes(flags, problems)
    else:
        try:
            found = parse(file.text)
        except ConfigError as error:
            for problem in error.problems:
                problems.add("--authorization-config", problem)
            return ()
    if "ABAC" in [each.type for each in found] and not flags.text("authorization-policy-file"):
        flag = "--authorization-mode" if file is None else "--authorization-config"
        problems.add(flag, "authorization-mode ABAC's authorization policy file not passed")
    if file is None:
        return found
    for each in found:
        if each.webhook is not None:
            _client(flags, "authorization-config", each.webhook.kubeconfig)
    return found


def policies(flags: Flags) -> tuple[ABACPolicy, ...]:
    """Those of ABAC."""
    path = flags.file("authorization-policy-file")
    if path is None or not path.is_file():
        return ()
    from controlplane.apiserver.authz.abac import load  # which few servers need

    try:
        return load(path)
    except ConfigError as error:
        for problem in error.problems:
            flags.problems.add("--authorization-policy-file", problem)
    except OSError as error:
        flags.problems.add("--authorization-policy-file", str(error))
    return ()


def _modes(flags: Flags, problems: Problems) -> Settings:
    modes = flags.words("authorization-mode")
    for number, mode in enumerate(modes):
        if mode not in TYPES:
            problems.add("--authorization-mode", f'"{mode}" is not a valid mode')
        if mode in modes[:number]:
            problems.add("--authorization-mode", f'authorization-mode "{mode}" is specified more than once')
    file = flags.text("authorization-webhook-config-file")
    if flags.text("authorization-policy-file") and "ABAC" not in modes:
        told = "cannot specify --authorization-policy-file without mode ABAC"
        problems.add("--authorization-policy-file", told)
    if "Webhook" in modes and not file:
        problems.add("--authorization-mode", "authorization-mode Webhook's authorization config file not passed")
    if file and "Webhook" not in modes:
        told = "cannot specify --authorization-webhook-config-file without mode Webhook"
        problems.add("--authorization-webhook-config-file", told)
    webhook = _authorization_webhook(flags)
    return tuple(AuthorizerSettings(mode, "default", webhook) if mode == "Webhook" else usual(mode) for mode in modes)


def _authorization_webhook(flags: Flags) -> WebhookSettings | None:
    prefix = "authorization-webhook"
    authorized, unauthorized = (flags.duration(f"{prefix}-{each}") for each in _TTLS)
    file, version = _reviewer(flags, prefix, "webhook authorizer")
    if file is None or _client(flags, f"{prefix}-config-file", file) is None:
        return None
    return WebhookSettings(file, version, authorized, unauthorized)


def token_webhook(flags: Flags) -> Webhook | None:
    """Who is asked about bearer tokens."""
    prefix = "authentication-token-webhook"
    seconds = flags.duration(f"{prefix}-cache-ttl")
    file, version = _reviewer(flags, prefix, "authentication webhook")
    client = _client(flags, f"{prefix}-config-file", file) if file is not None else None
    return Webhook(client, version, seconds) if client is not None else None


def _reviewer(flags: Flags, prefix: str, what: str) -> tuple[Path | None, str]:
    """The kubeconfig file of a webhook, if there is one, and the version of reviews it is asked in. what: its kind, as
    upstream tells of it."""
    file, version = flags.file(f"{prefix}-config-file"), flags.text(f"{prefix}-version")
    if file is None or not file.is_file():
        return None, version
    if version not in ("v1", "v1beta1"):
        told = f'unsupported {what} version "{version}", supported versions are "v1", "v1beta1"'
        flags.problems.add(f"--{prefix}-version", told)
    return file, version


def _client(flags: Flags, flag: str, file: Path) -> ClientConfig | None:
    from apimachinery.client.config import load_kubeconfig  # which few servers need

    try:
        return load_kubeconfig(file)
    except ConfigError as error:
        for problem in error.problems:
            flags.problems.add(f"--{flag}", problem)
    return None
