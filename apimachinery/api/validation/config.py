"""ConfigMaps and Secrets (pkg/apis/core/validation)."""

from base64 import b64decode

from apimachinery.api.validation.checks import Object, immutable, same, sentences
from apimachinery.api.validation.json_errors import object_error
from apimachinery.meta import names
from apimachinery.meta.paths import Path, Problem, forbidden, invalid, required, too_long

_LIMIT = 1024 * 1024
_FIXED = "field is immutable when `immutable` is set"


def config_map(obj: Object) -> list[Problem]:
    """Keys, no key in both bags, at most 1 MiB."""
    problems: list[Problem] = []
    text, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key, value in text.items():
        where = Path("data").key(key)
        problems += sentences(names.config_key(key), key, where)
        if key in binary:
            problems.append(invalid(where, key, "duplicate of key present in binaryData"))
        size += len(value.encode())
    for key, value in binary.items():
        problems += sentences(names.config_key(key), key, Path("binaryData").key(key))
        size += _decoded_size(value)
    if size > _LIMIT:
        # The whole object is meant, so upstream gives no field.
        problems.append(too_long(Path(""), _LIMIT))
    return problems


def config_map_update(new: Object, old: Object) -> list[Problem]:
    """Nothing of an immutable ConfigMap changes."""
    return _fixed(new, old, ("data", "binaryData"))


def secret(obj: Object) -> list[Problem]:
    """Keys, at most 1 MiB, and the keys that the type asks for."""
    data, path = obj.get("data") or {}, Path("data")
    problems = [problem for key in data for problem in sentences(names.config_key(key), key, path.key(key))]
    if sum(_decoded_size(value) for value in data.values()) > _LIMIT:
        problems.append(too_long(path, _LIMIT))
    match obj.get("type"):
        case "kubernetes.io/service-account-token":
            key = "kubernetes.io/service-account.name"
            if not ((obj.get("metadata") or {}).get("annotations") or {}).get(key):
                problems.append(required(Path("metadata.annotations").key(key)))
        case "kubernetes.io/dockercfg":
            problems += _json_key(data, ".dockercfg")
        case "kubernetes.io/dockerconfigjson":
            problems += _json_key(data, ".dockerconfigjson")
        case "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                problems += [required(path.key("username")), required(path.key("password"))]
        case "kubernetes.io/ssh-auth":
            if not data.get("ssh-privatekey"):
                problems.append(required(path.key("ssh-privatekey")))
        case "kubernetes.io/tls":
            problems += [required(path.key(key)) for key in ("tls.crt", "tls.key") if key not in data]
    return problems


def secret_update(new: Object, old: Object) -> list[Problem]:
    """The type stays, and everything of an immutable Secret."""
    return immutable(new.get("type", ""), old.get("type", ""), Path("type")) + _fixed(new, old, ("data",))


def _fixed(new: Object, old: Object, fields: tuple[str, ...]) -> list[Problem]:
    if not old.get("immutable"):
        return []
    problems = [] if new.get("immutable") else [forbidden(Path("immutable"), _FIXED)]
    return problems + [forbidden(Path(name), _FIXED) for name in fields if not same(new.get(name), old.get(name))]


def _decoded_size(text: str) -> int:
    return len(text) * 3 // 4 - text[-2:].count("=")


def _json_key(data: Object, key: str) -> list[Problem]:
    where = Path("data").key(key)
    if key not in data:
        return [required(where)]
    wrong = object_error(b64decode(data[key]))
    return [] if wrong is None else [invalid(where, "<secret contents redacted>", wrong)]
