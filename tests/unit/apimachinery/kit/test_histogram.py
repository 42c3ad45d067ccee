from apimachinery.kit.histogram import QuickHistogram
from apimachinery.kit.metrics import REGISTRY, render


def test_values_are_counted_below_their_bounds_and_added_up() -> None:
    quick = QuickHistogram("quick_seconds", "Some", ("way",), (0.5, 1, 2))
    for value in (0.1, 0.5, 0.7, 9.0):
        quick.observe(("north",), value)
    bounds = {
        bound: REGISTRY.get_sample_value("quick_seconds_bucket", {"way": "north", "le": bound})
        for bound in ("0.5", "1.0", "2.0", "+Inf")
    }
    assert bounds == {"0.5": 2, "1.0": 3, "2.0": 3, "+Inf": 4}, "a bound is part of what is below it"
    assert REGISTRY.get_sample_value("quick_seconds_count", {"way": "north"}) == 4
    assert REGISTRY.get_sample_value("quick_seconds_sum", {"way": "north"}) == 10.3
    assert b"# HELP quick_seconds Some\n# TYPE quick_seconds histogram\n" in render()
    REGISTRY.unregister(quick)
