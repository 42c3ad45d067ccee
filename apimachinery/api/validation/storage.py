"""StorageClasses and VolumeAttachments (pkg/apis/storage/validation)."""

from apimachinery.api.validation.checks import (
    Object,
    dns_subdomain,
    immutable,
    qualified_name,
    same,
)
from apimachinery.api.validation.csi import driver_name
from apimachinery.api.validation.go_values import go_pointer
from apimachinery.api.validation.persistent_volumes import volume_spec
from apimachinery.meta.paths import (
    Path,
    Problem,
    Verbatim,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)

_RECLAIM = ("Delete", "Retain")
_BINDING = ("Immediate", "WaitForFirstConsumer")
_MAX_PARAMETERS = 512
_MAX_SIZE = 256 * 1024
_MAX_ERROR = 1024


def storage_class(obj: Object) -> list[Problem]:
    """Provisioner, parameters, policies, topologies."""
    provisioner, where = obj.get("provisioner", ""), Path("provisioner")
    problems = qualified_name(provisioner.lower(), where) if provisioner else [required(where)]
    problems += _parameters(obj.get("parameters") or {}, Path("parameters"))
    policy = obj.get("reclaimPolicy")
    if policy and policy not in _RECLAIM:
        problems.append(not_supported(Path("reclaimPolicy"), policy, _RECLAIM))
    mode, where = obj.get("volumeBindingMode"), Path("volumeBindingMode")
    if mode is None:
        problems.append(required(where))
    elif mode not in _BINDING:
        problems.append(not_supported(where, mode, _BINDING))
    return problems + _topologies(obj)


def storage_class_update(new: Object, old: Object) -> list[Problem]:
    """Only labels, annotations, expansion, mount options and topologies change."""
    problems = [
        forbidden(Path(field), f"updates to {field} are forbidden.")
        for field in ("parameters", "provisioner", "reclaimPolicy")
        if not same(new.get(field), old.get(field))
    ]
    return problems + immutable(new.get("volumeBindingMode"), old.get("volumeBindingMode"), Path("volumeBindingMode"))


def volume_attachment(obj: Object) -> list[Problem]:
    """Attacher, one source, node; the messages of a status."""
    spec, path = obj.get("spec") or {}, Path("spec")
    problems = [] if spec.get("attacher") else [required(path.child("attacher"))]
    source, where = spec.get("source") or {}, path.child("source")
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if volume is None and inline is None:
        problems.append(required(where, text))
    elif volume is not None and inline is not None:
        problems.append(forbidden(where, text))
    elif volume == "":
        problems.append(required(where.child("persistentVolumeName"), "must specify non empty persistentVolumeName"))
    elif inline is not None:
        problems += volume_spec(inline, where.child("inlineVolumeSpec"), inline=True)
    problems += dns_subdomain(spec.get("nodeName", ""), path.child("nodeName"))
    return problems + _attachment_status(obj)


def volume_attachment_create(obj: Object) -> list[Problem]:
    """What version 1 checks beyond the betas, of new objects only."""
    spec = obj.get("spec") or {}
    problems = driver_name(spec.get("attacher", ""), Path("spec.attacher"))
    volume = (spec.get("source") or {}).get("persistentVolumeName")
    return problems + (dns_subdomain(volume, Path("spec.source.persistentVolumeName")) if volume is not None else [])


def volume_attachment_update(new: Object, old: Object) -> list[Problem]:
    """The specification stays."""
    spec = new.get("spec") or {}
    source = spec.get("source") or {}
    volume = go_pointer("string", source.get("persistentVolumeName"))
    inline = go_pointer("core.PersistentVolumeSpec", source.get("inlineVolumeSpec"))
    shown = Verbatim(
        f'storage.VolumeAttachmentSpec{{Attacher:"{spec.get("attacher", "")}", Source:storage.VolumeAttachmentSource{{'
        f'PersistentVolumeName:{volume}, InlineVolumeSpec:{inline}}}, NodeName:"{spec.get("nodeName", "")}"}}'
    )
    return immutable(spec, old.get("spec") or {}, Path("spec"), shown)


def volume_attachment_status(new: Object, old: Object) -> list[Problem]:
    """What an attacher reports is judged with the whole object."""
    return volume_attachment(new) + volume_attachment_update(new, old)


def _parameters(parameters: dict[str, str], path: Path) -> list[Problem]:
    if len(parameters) > _MAX_PARAMETERS:
        return [too_long(path, _MAX_PARAMETERS)]
    problems = [invalid(path, key, "field can not be empty.") for key in parameters if not key]
    return problems + _size(parameters, path)


def _size(texts: dict[str, str], path: Path) -> list[Problem]:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in texts.items())
    return [too_long(path, _MAX_SIZE)] if size > _MAX_SIZE else []


def _topologies(obj: Object) -> list[Problem]:
    problems: list[Problem] = []
    terms = obj.get("allowedTopologies") or []
    # Upstream compares with as many empty terms as there are terms, and then with those before: all that equal one
    # another are told of once each.
    seen: list[dict[str, frozenset[str]]] = [{} for _ in terms]
    for position, term in enumerate(terms):
        where = Path("allowedTopologies").index(position).child("matchLabelExpressions")
        found: dict[str, frozenset[str]] = {}
        for index, expression in enumerate(term.get("matchLabelExpressions") or ()):
            place, key, values = where.index(index), expression.get("key", ""), expression.get("values") or []
            if not values:
                problems.append(required(place.child("values")))
            for number, value in enumerate(values):
                if value in values[:number]:
                    problems.append(duplicate(place.child("values").index(number), value))
            problems += qualified_name(key, place.child("key"))
            if key in found:
                problems.append(duplicate(place.child("key"), key))
            found[key] = frozenset(values)
        problems += [duplicate(where, "") for other in seen if other == found]
        seen.append(found)
    return problems


def _attachment_status(obj: Object) -> list[Problem]:
    status, path = obj.get("status") or {}, Path("status")
    problems = _size(status.get("attachmentMetadata") or {}, path.child("attachmentMetadata"))
    for field in ("attachError", "detachError"):
        if len(((status.get(field) or {}).get("message") or "").encode()) > _MAX_ERROR:
            problems.append(too_long(path.child(field, "message"), _MAX_SIZE))
    return problems
