"""What a JSON patch may not make of a small body."""

import pytest

from apimachinery.meta.patches import PatchError, json_patch


def test_copies_do_not_double_without_end() -> None:
    double = [{"op": "copy", "from": "/data", "path": f"/data/k{n}"} for n in range(60)]
    with pytest.raises(PatchError, match="the accumulated size increase of copy is"):
        json_patch({"data": {"a": "x" * 100}}, double)


@pytest.mark.parametrize("levels", [300, 5_000])
def test_nesting_has_an_end(levels: int) -> None:
    deeper = [{"op": "add", "path": "/a" * n, "value": {}} for n in range(1, levels)]
    with pytest.raises(PatchError, match="nests too deep"):
        json_patch({}, deeper)
