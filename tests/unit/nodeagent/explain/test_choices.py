"""Every way through random choices, once, with its probability."""

import pytest

from nodeagent.explain.choices import Chooser, every_way


def thirds(chooser: Chooser) -> tuple[str, float]:
    """As kube-proxy spreads over three: a third, half of the rest, the rest."""
    for name, chance in (("a", 1 / 3), ("b", 1 / 2)):
        if chooser.pick((chance, 1 - chance)) == 0:
            return name, chooser.probability
    return "c", chooser.probability


def test_every_backend_has_its_share() -> None:
    ways, whole = every_way(thirds)
    assert whole
    assert [name for name, _ in ways] == ["a", "b", "c"]
    assert [chance for _, chance in ways] == pytest.approx([1 / 3] * 3)


def test_what_cannot_happen_is_no_way() -> None:
    assert every_way(lambda chooser: chooser.pick((0.0, 1.0, 0.0))) == ([1], True)


def test_there_is_an_end() -> None:
    ways, whole = every_way(lambda chooser: [chooser.pick((0.5, 0.5)) for _ in range(20)], limit=10)
    assert (len(ways), whole) == (10, False)
