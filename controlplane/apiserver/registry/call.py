"""One request on a resource, as the verbs and the plug-ins see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from apimachinery.api.catalogue import Resource
from apimachinery.meta import status
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, not_supported, required, too_long
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision

Object = dict[str, Any]
Authorize = Callable[[Attributes], Awaitable[tuple[Decision, str]]]

MAX_WARNINGS = 100
YAML_ERRORS = "yaml: unmarshal errors:"
"""How the one sentence on the doubled keys of a YAML body begins, of which each has a line below."""
_FIELD_VALIDATION = ("Ignore", "Warn", "Strict")
_MANAGER_MAX = 128  # bytes


class Call(Struct):
    """`resource` is the one asked for, in the version asked for. `name` may be "" on create.

    `warnings` go out as Warning headers; `authorize` asks on behalf of somebody (escalation checks, reviews);
    `annotations` are what admission adds to the audit event; `doubled` is what is wrong with the body's keys;
    `written` is the object that the store wrote last, and its bytes as clients get them.
    """

    user: User
    resource: Resource
    verb: str
    namespace: str
    name: str
    authorize: Authorize
    subresource: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    user_agent: str = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    written: tuple[Object, bytes] | None = None

    def keep(self, obj: Object, served: bytes) -> None:
        """The store has written `obj`, which nobody changes any more."""
        self.written = obj, served

    def served(self, obj: Object) -> bytes | None:
        """The bytes of the very object that the store wrote last; None for any other."""
        return self.written[1] if self.written is not None and self.written[0] is obj else None

    def warn(self, text: str) -> None:
        """Tell the client; each sentence once, at most MAX_WARNINGS."""
        if text not in self.warnings and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(text)

    def annotate(self, key: str, value: str) -> None:
        """Add to the audit event; the first value of a key stays (audit.AddAuditAnnotation)."""
        self.annotations.setdefault(key, value)

    @property
    def field_validation(self) -> str:
        """Ignore, Warn (the default) or Strict."""
        return self.query.get("fieldValidation") or "Warn"

    def check_fields(self, unknown: Iterable[str], where: str) -> None:
        """What fieldValidation makes of a body's unknown fields and doubled keys: warnings, or (Strict) ApiError 400.
        where: how the refusal begins."""
        if self.field_validation == "Ignore":
            return
        lines = [sentence for sentence in self.doubled if sentence.startswith(YAML_ERRORS)]
        sentences = [f'unknown field "{path}"' for path in unknown]
        sentences = [*lines, *sentences, *(each for each in self.doubled if each not in lines)]
        if sentences and self.field_validation == "Strict":
            raise status.Undecodable(where, f"strict decoding error: {', '.join(sentences)}")
        for sentence in sentences:
            for line in sentence.removeprefix(YAML_ERRORS).strip().split("\n"):
                self.warn(line.strip())

    @property
    def collected(self) -> list[str] | None:
        """Where to say which keys of the body are there twice; None when nobody wants to know."""
        return None if self.field_validation == "Ignore" else self.doubled

    @property
    def field_manager(self) -> str:
        """The query's fieldManager, or what the user agent says before its first slash."""
        return self.query.get("fieldManager") or _agent(self.user_agent)

    async def allowed(self, verb: str, group: str, resource: str, *, namespace: str = "", name: str = "") -> bool:
        """Whether the user could do something else."""
        decision, _ = await self.authorize(
            Attributes(self.user, verb, group, "*", resource, namespace=namespace, name=name)
        )
        return decision is Decision.ALLOW


def check_options(kind: str, query: Mapping[str, str], dry_run: list[str], *, applying: bool = False) -> bool:
    """Whether the options of a write ask for a dry run. kind: "CreateOptions", …; raises ApiError 422."""
    problems = []
    validation, manager = query.get("fieldValidation", ""), query.get("fieldManager", "")
    if applying and not manager:
        problems.append(required(Path("fieldManager"), "is required for apply patch"))
    if kind == "PatchOptions" and not applying and "force" in query:
        problems.append(forbidden(Path("force"), "may not be specified for non-apply patch"))
    problems += _manager_problems(manager)
    if any(word != "All" for word in dry_run):
        problems.append(not_supported(Path("dryRun"), dry_run, ["All"]))
    if validation and validation not in _FIELD_VALIDATION:
        problems.append(not_supported(Path("fieldValidation"), validation, ["", *_FIELD_VALIDATION]))
    if problems:
        raise status.invalid(f"{kind}.meta.k8s.io", "", problems)
    return bool(dry_run)


def _manager_problems(manager: str) -> list[Problem]:
    """ValidateFieldManager."""
    path, problems, position = Path("fieldManager"), [], 0
    if _size(manager) > _MANAGER_MAX:
        problems.append(too_long(path, _MANAGER_MAX))
    for character in manager:
        if not character.isprintable():
            sentence = f"invalid character U+{ord(character):04X} (at position {position})"
            problems.append(invalid(path, manager, sentence))
        position += _size(character)
    return problems


def _agent(text: str) -> str:
    """What a user agent says before its first slash, as a field manager: printable, and not too long."""
    begin = text.partition("/")[0]
    if begin.isascii() and begin.isprintable():
        return begin[:_MANAGER_MAX]
    found, room = "", _MANAGER_MAX
    for character in filter(str.isprintable, begin):
        room -= _size(character)
        if room < 0:
            break
        found += character
    return found


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
