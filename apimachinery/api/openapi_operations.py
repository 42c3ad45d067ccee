"""Every operation that is served, as both OpenAPI documents describe it: one walk over the resources.

Operation ids, tags, descriptions and media types are those of k8s.io/apiserver's installer and, for defined kinds, of
k8s.io/apiextensions-apiserver's builder: client libraries are generated from them.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import NamedTuple

from apimachinery.api.catalogue import CATALOGUE, Resource, Subresource
from apimachinery.api.openapi_parameters import BY_ACTION, BY_OPTIONS, LOG, NAMESPACE, PRETTY, PROXIED, Parameter

GVK = tuple[str, str, str]
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_INFO = "io.k8s.apimachinery.pkg.version.Info"
_ISSUER, _KEYS = "/.well-known/openid-configuration/", "/openid/v1/jwks/"
_JSON, _YAML, _PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
_ANY = ("*/*",)
_READABLE = (_JSON, _YAML, _PROTOBUF)
_STREAMED = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
_MERGES = ("application/json-patch+json", "application/merge-patch+json")
_STRATEGIC, _APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
STRING = "string"
"""The answer of what streams: no object."""
_ANSWERS = {200: "OK", 201: "Created", 202: "Accepted"}
_CODES = {"post": (200, 201, 202), "put": (200, 201), "patch": (200, 201), "delete": (200, 202)}
_METHODS = {"list": "get", "deletecollection": "delete", "watch": "get", "watchlist": "get"}
_ACTIONS = {
    "get": "get", "list": "list", "create": "post", "update": "put", "patch": "patch", "delete": "delete",
    "deletecollection": "deletecollection",
}  # fmt: skip
_COLLECTION, _SINGLE = ("list", "create", "deletecollection"), ("get", "update", "patch", "delete")
_VERBS = {
    "get": "read", "list": "list", "post": "create", "put": "replace", "patch": "patch", "delete": "delete",
    "deletecollection": "deletecollection", "watch": "watch", "watchlist": "watch",
}  # fmt: skip
_ID_VERBS = ("connect", "create", "delete", "get", "list", "patch", "read", "replace", "watch")
_PROXY_METHODS = ("delete", "get", "head", "options", "patch", "post", "put")
_DEPRECATED = "deprecated: use the 'watch' parameter with a list operation instead"


class Operation(NamedTuple):
    """One method of one path. body: the name of a definition, or ""; answer: one too, or STRING, or "" for none that
    is described. action: x-kubernetes-action, or "" of what is about no kind."""

    path: str
    method: str
    identifier: str
    tag: str
    description: str
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    answer: str = ""
    codes: tuple[int, ...] = (200,)
    body: str = ""
    body_required: bool = True
    parameters: tuple[Parameter, ...] = ()
    action: str = ""
    gvk: GVK | None = None

    @property
    def answers(self) -> Iterator[tuple[int, str]]:
        """(code, description), 401 aside."""
        return ((code, _ANSWERS[code]) for code in self.codes)


def operations(
    resources: Iterable[Resource], names: Mapping[GVK, str], returned: Container[str]
) -> Iterator[Operation]:
    """What is served of resources. names: the definition of each kind; returned: the kinds whose deletion answers with
    the object instead of a Status."""
    for resource in resources:
        yield from _Walk(resource, names, returned).all()


def of_version(group: str, version: str) -> Operation:
    """The discovery of one group and version."""
    base = f"/apis/{group}/{version}/" if group else f"/api/{version}/"
    return _about(base, "getAPIResources", "get available resources", f"{_META}APIResourceList")


def of_group(group: str) -> Operation:
    """The discovery of one group; of the core group: its versions."""
    if not group:
        return _about("/api/", "getAPIVersions", "get available API versions", f"{_META}APIVersions")
    return _about(f"/apis/{group}/", "getAPIGroup", "get information of a group", f"{_META}APIGroup")


def of_server() -> dict[str, Operation]:
    """What the server says of itself, by its path without slashes at the ends."""
    keys = ("application/jwk-set+json",)
    found = (
        _about("/apis/", "getAPIVersions", "get available API versions", f"{_META}APIGroupList"),
        _about("/version/", "getCodeVersion", "get the version of the server", _INFO, (_JSON,)),
        _about(_ISSUER, "getServiceAccountIssuerOpenIDConfiguration", "get the issuer of tokens", STRING, (_JSON,)),
        _about(_KEYS, "getServiceAccountIssuerOpenIDKeyset", "get the keys that verify tokens", STRING, keys),
    )
    return {each.path.strip("/"): each for each in found}


def _about(path: str, verb: str, description: str, answer: str, media: tuple[str, ...] = _READABLE) -> Operation:
    identifier, tag = identify(verb, path)
    consumes = () if answer == STRING else media
    return Operation(path, "get", identifier, tag, description, consumes, media, answer)


class _Walk:
    """The operations of one resource."""

    def __init__(self, resource: Resource, names: Mapping[GVK, str], returned: Container[str]) -> None:
        self._resource, self._names = resource, names
        self._builtin = CATALOGUE.by_kind(resource.api_version, resource.kind) is not None
        self._body = names[resource.gvk]
        self._list = names.get((resource.group, resource.version, resource.list_kind), self._body)
        self._deleted = self._body if resource.kind in returned and self._builtin else f"{_META}Status"
        self._scope = "Namespaced" if resource.namespaced else ""

    def all(self) -> Iterator[Operation]:
        resource = self._resource
        everywhere, collection = resource.path(), self._template()
        if resource.namespaced and "list" in resource.verbs:
            yield self._operation("list", everywhere, f"{resource.kind}ForAllNamespaces")
        for verb in _COLLECTION:
            if verb in resource.verbs:
                yield self._operation(_ACTIONS[verb], collection, self._scope + resource.kind)
        for verb in _SINGLE:
            if verb in resource.verbs:
                yield self._operation(_ACTIONS[verb], f"{collection}/{{name}}", self._scope + resource.kind)
        for below in resource.subresources:
            yield from self._below(below, f"{collection}/{{name}}/{below.name}")
        if "watch" in resource.verbs and self._builtin:
            yield from self._watches(everywhere, collection)

    def _template(self) -> str:
        return self._resource.path("NS").replace("/namespaces/NS/", "/namespaces/{namespace}/")

    def _watches(self, everywhere: str, collection: str) -> Iterator[Operation]:
        kind = self._resource.kind
        base = f"/{'/'.join(everywhere.split('/')[1 : 4 if self._resource.group else 3])}"
        if self._resource.namespaced:
            yield self._operation("watchlist", f"{base}/watch{everywhere[len(base) :]}", f"{kind}ListForAllNamespaces")
        below = f"{base}/watch{collection[len(base) :]}"
        yield self._operation("watchlist", below, f"{self._scope}{kind}List")
        yield self._operation("watch", f"{below}/{{name}}", self._scope + kind)

    def _below(self, below: Subresource, path: str) -> Iterator[Operation]:
        if below.kind in BY_OPTIONS:
            yield from self._connections(below, path)
            return
        named = f"{self._scope}{self._resource.kind}{_title(below.name)}"
        for verb in below.verbs:
            yield self._operation(_ACTIONS[verb], path, named, below)

    def _connections(self, below: Subresource, path: str) -> Iterator[Operation]:
        resource, proxied = self._resource, below.name == "proxy"
        methods = _PROXY_METHODS if proxied else tuple(sorted({"create": "post"}.get(v, v) for v in below.verbs))
        for where, suffix in ((path, ""), (f"{path}/{{path}}", "WithPath"))[: 2 if proxied else 1]:
            for method in methods:
                verb = f"connect{_title(method)}{self._scope}{resource.kind}{_title(below.name)}{suffix}"
                identifier, tag = identify(verb, where)
                parameters = (*_in_path(where, below.kind), *BY_OPTIONS[below.kind])
                said = f"connect {method.upper()} requests to {below.name} of {resource.kind}"
                gvk = (below.group, below.version, below.kind)
                yield Operation(
                    where, method, identifier, tag, said, _ANY, _ANY, STRING, parameters=parameters, action="connect",
                    gvk=gvk,
                )  # fmt: skip

    def _operation(self, action: str, path: str, named: str, below: Subresource | None = None) -> Operation:
        """One that is no connection. named: what of the identifier comes after verb, group and version."""
        resource = self._resource
        gvk = resource.gvk if below is None else (below.group, below.version, below.kind)
        identifier, tag = identify(_VERBS[action] + named, path)
        body = self._names[gvk]
        logs = below is not None and below.name == "log"
        answer = {
            "list": self._list, "delete": self._deleted, "deletecollection": f"{_META}Status",
            "watch": f"{_META}WatchEvent", "watchlist": f"{_META}WatchEvent",
        }.get(action, STRING if logs else body)  # fmt: skip
        produces = _READABLE if self._builtin else (_JSON, _YAML)
        if action in ("list", "watch", "watchlist") and self._builtin:
            produces = (*produces, *_STREAMED)
        elif logs:
            produces = ("text/plain", *produces)
        consumes = _ANY if self._builtin else (_JSON, _YAML)
        if action == "patch":
            consumes = (*_MERGES, *((_STRATEGIC,) if self._builtin else ()), _APPLY)
        deletes = action in ("delete", "deletecollection")
        sent = {"post": body, "put": body, "patch": f"{_META}Patch"}.get(action, f"{_META}DeleteOptions" * deletes)
        parameters = (*_in_path(path, resource.kind), *BY_ACTION[action], *(LOG if logs else ()), PRETTY)
        codes = _CODES.get(action, (200,))
        if action == "patch" and not self._builtin:
            codes = (200,)
        return Operation(
            path, _METHODS.get(action, action), identifier, tag, self._description(action, below), consumes, produces,
            answer, codes, sent, not deletes, parameters, action, gvk,
        )  # fmt: skip

    def _description(self, action: str, below: Subresource | None) -> str:
        kind = self._resource.kind
        noun = _with_article(kind)
        if below is not None and action in ("get", "put", "patch"):
            word = {"get": "read", "put": "replace", "patch": "partially update"}[action]
            return f"{word} {below.name} of the specified {kind}"
        match action:
            case "list":
                watched = "watch" in self._resource.verbs and self._builtin
                return f"list {'or watch ' if watched else ''}objects of kind {kind}"
            case "post":
                return f"create {below.name} of {noun}" if below is not None else f"create {noun}"
            case "delete":
                return f"delete {noun}"
            case "deletecollection":
                return f"delete collection of {kind}"
            case "watchlist":
                return f"watch individual changes to a list of {kind}. {_DEPRECATED}."
            case "watch":
                single = "filtered to a single item with the 'fieldSelector' parameter"
                return f"watch changes to an object of kind {kind}. {_DEPRECATED}, {single}."
        return f"{({'get': 'read', 'put': 'replace', 'patch': 'partially update'})[action]} the specified {kind}"


def identify(verb: str, path: str) -> tuple[str, str]:
    """operationId and tag: group and version of the path go between the verb and the rest
    (k8s.io/apiserver/pkg/endpoints/openapi, GetOperationIDAndTags)."""
    prefix = next(each for each in _ID_VERBS if verb.startswith(each))
    rest = verb[len(prefix) :]
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        parts = ["apis", "core", *parts[1:]]
    if len(parts) < 2 or parts[0] != "apis":
        return prefix + _word(rest, True), _word(parts[0], False)
    words = [parts[1].removesuffix(".k8s.io"), *parts[2:3]]
    place = "".join(_word(each, True) for each in words)
    return prefix + place + _word(rest, True), "_".join(_word(each, False) for each in words)


def _word(text: str, capital: bool) -> str:
    """`rbac.authorization` → `RbacAuthorization` (ToValidOperationID)."""
    out = []
    for at, letter in enumerate(text):
        if letter.isalpha() or letter == "_" or (at and letter.isdigit()):
            out.append(letter.upper() if capital else letter)
            capital = False
        else:
            capital = True
    return "".join(out)


def _with_article(kind: str) -> str:
    if kind.endswith("s") and not kind.endswith("ss"):
        return kind  # a plural
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]


def _in_path(path: str, kind: str) -> tuple[Parameter, ...]:
    found = []
    if "{name}" in path:
        found.append(Parameter("name", "string", f"name of the {kind}", "path"))
    if "{namespace}" in path:
        found.append(NAMESPACE)
    if "{path}" in path:
        found.append(PROXIED)
    return tuple(found)
