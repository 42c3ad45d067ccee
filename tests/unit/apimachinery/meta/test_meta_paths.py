"""Field errors (k8s.io/apimachinery/pkg/util/validation/field, release 1.32)."""

import pytest

from apimachinery.meta import paths
from apimachinery.meta.paths import Path, Verbatim

_WHERE = Path("spec").child("containers").index(0).child("ports").key("http")


def test_paths_are_spelled_as_upstream():
    assert str(_WHERE) == "spec.containers[0].ports[http]"
    assert str(Path("metadata.labels")) == "metadata.labels"
    assert str(Path().child("a")) == "a"
    assert str(Path("a").child("b", "c")) == "a.b.c"
    assert str(Path()) == "<nil>"


def test_paths_that_are_spelled_the_same_are_equal():
    assert Path("a").child("b") == Path("a.b")
    assert hash(Path("a").child("b")) == hash(Path("a.b"))
    assert Path("a").index(1) != Path("a").index(2)
    assert repr(Path("a").index(1)) == "Path('a[1]')"


@pytest.mark.parametrize(
    ("problem", "kind", "message"),
    [
        (paths.required(_WHERE), "FieldValueRequired", "Required value"),
        (paths.required(_WHERE, "say it"), "FieldValueRequired", "Required value: say it"),
        (paths.invalid(_WHERE, "x", "must be y"), "FieldValueInvalid", 'Invalid value: "x": must be y'),
        (paths.invalid(_WHERE, -1, "low"), "FieldValueInvalid", "Invalid value: -1: low"),
        (paths.invalid(_WHERE, True, "no"), "FieldValueInvalid", "Invalid value: true: no"),
        (paths.invalid(_WHERE, None, "no"), "FieldValueInvalid", 'Invalid value: "null": no'),
        (paths.invalid(_WHERE, Verbatim("[]string{}"), "no"), "FieldValueInvalid", "Invalid value: []string{}: no"),
        (
            paths.not_supported(_WHERE, "x", ("a", "b")),
            "FieldValueNotSupported",
            'Unsupported value: "x": supported values: "a", "b"',
        ),
        (paths.duplicate(_WHERE, "x"), "FieldValueDuplicate", 'Duplicate value: "x"'),
        (paths.not_found(_WHERE, "x"), "FieldValueNotFound", 'Not found: "x"'),
        (paths.forbidden(_WHERE, "no"), "FieldValueForbidden", "Forbidden: no"),
        (paths.too_long(_WHERE, 63), "FieldValueTooLong", "Too long: may not be more than 63 bytes"),
        (paths.too_many(_WHERE, 3, 2), "FieldValueTooMany", "Too many: 3: must have at most 2 items"),
        (paths.type_invalid(_WHERE, "x", "no"), "FieldValueTypeInvalid", 'Invalid value: "x": no'),
        (paths.internal(_WHERE, "oops"), "InternalError", "Internal error: oops"),
    ],
)
def test_sentences(problem, kind, message):
    assert (problem.type, problem.path, problem.message) == (kind, str(_WHERE), message)


def test_several_are_bracketed_and_repeats_dropped():
    one, two = paths.required(Path("a")), paths.forbidden(Path("b"), "no")
    assert paths.aggregate([one]) == "a: Required value"
    assert paths.aggregate([one, two, one]) == "[a: Required value, b: Forbidden: no]"
