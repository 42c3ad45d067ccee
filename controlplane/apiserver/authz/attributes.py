"""What an authorizer is asked about, and its answer."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from msgspec import Struct

from controlplane.apiserver.authn.user import User


class Attributes(Struct, frozen=True):
    """One request. For a non-resource request `path` is set and `resource` empty. The selectors are as they were
    asked for, of verbs that select (list, watch, deletecollection)."""

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""
    label_selector: str = ""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)

    def of_resource(self) -> dict[str, str]:
        """By the names that ResourceAttributes of a review has; without the selectors."""
        return {
            "namespace": self.namespace,
            "verb": self.verb,
            "group": self.group,
            "version": self.version,
            "resource": self.resource,
            "subresource": self.subresource,
            "name": self.name,
        }


class Decision(Enum):
    """NO_OPINION leaves it to the next authorizer; with none left it is a refusal."""

    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


class EvaluationError(Exception):
    """Whoever decides could not; the text says why. denied: all the same, nobody else is asked."""

    def __init__(self, message: str, *, denied: bool = False) -> None:
        super().__init__(message)
        self.denied = denied


class Authorizer(Protocol):
    """One way to decide. `authorize` may raise EvaluationError, which leaves it to the next authorizer."""

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """The decision and its reason (may be empty)."""
        ...


def denial(attributes: Attributes, reason: str) -> str:
    """Upstream's sentence (responsewriters.ForbiddenMessage), without the resource before it."""
    user = attributes.user.name
    if not attributes.is_resource:
        text = f'User "{user}" cannot {attributes.verb} path "{attributes.path}"'
    else:
        resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
        text = f'User "{user}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}"'
        text += f' in the namespace "{attributes.namespace}"' if attributes.namespace else " at the cluster scope"
    # What a client has made up must not read as HTML where a browser shows it.
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"{text}: {reason}" if reason else text
