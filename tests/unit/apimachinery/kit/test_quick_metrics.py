from apimachinery.kit.metrics import REGISTRY, CollectorRegistry, Counter, Histogram, render
from apimachinery.kit.quick_metrics import QuickCounter, QuickHistogram


def test_they_are_shown_as_the_librarys_are() -> None:
    registry = CollectorRegistry()
    counter = Counter("quick_things_total", "Things", ["way"], registry=registry)
    histogram = Histogram("quick_seconds", "Some", ["way"], buckets=(0.5, 1, 2), registry=registry)
    plain = Histogram("quick_plain", "Without labels", buckets=(1e-8, 1000.0, 1e9), registry=registry)
    mine, own = (
        QuickCounter("quick_things_total", "Things", ["way"]),
        QuickHistogram("quick_seconds", "Some", ["way"], buckets=(0.5, 1, 2)),
    )
    bare = QuickHistogram("quick_plain", "Without labels", [], buckets=(1e-8, 1000.0, 1e9))
    try:
        for each in (counter, mine):
            each.labels("north").inc()
            each.labels("north").inc(2)
            each.labels("south")
        for some in (histogram, own):
            for value in (0.1, 0.5, 0.7, 9.0):
                some.labels("north").observe(value)
            some.labels("south")
        shown = [line for line in render().splitlines() if b"quick_" in line]
    finally:
        for one in (mine, own, bare):
            REGISTRY.unregister(one)
    assert shown == render(registry).splitlines()
    assert plain is not None
    assert b'quick_seconds_bucket{le="0.5",way="north"} 2.0' in shown, "a bound is part of what is below it"
