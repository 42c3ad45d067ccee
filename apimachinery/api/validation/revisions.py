"""ControllerRevisions (pkg/apis/apps/validation)."""

from apimachinery.api.validation.checks import Object, nonnegative, same
from apimachinery.meta.paths import Path, Problem, invalid, required


def controller_revision(obj: Object) -> list[Problem]:
    """A revision's number and data."""
    problems: list[Problem] = []
    if obj.get("data") is None:
        problems.append(required(Path("data"), "data is mandatory"))
    return problems + nonnegative(obj.get("revision"), Path("revision"))


def controller_revision_update(new: Object, old: Object) -> list[Problem]:
    """The data stay."""
    if same(new.get("data"), old.get("data")):
        return []
    return [invalid(Path("data"), new.get("data"), "field is immutable")]
