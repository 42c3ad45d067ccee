import asyncio

from apimachinery.kit.trace import Causes, Delivery, Trace, current, use


def test_the_ring_forgets_the_oldest_and_says_how_many() -> None:
    trace = Trace("kubelet", size=2, now=lambda: 5.0)
    for number in range(5):
        trace.note("synced", "pods", f"default/{number}")
    document = trace.document()
    assert (document["component"], document["now"], document["forgotten"]) == ("kubelet", 5.0, 3)
    assert [entry[4] for entry in document["entries"]] == ["default/3", "default/4"]


async def test_what_happens_in_a_work_carries_its_number_also_in_tasks_that_it_makes() -> None:
    trace = Trace("kubelet", now=lambda: 0.0)

    async def inside() -> None:
        trace.note("wrote", "", "")

    with trace.working() as first:
        await asyncio.create_task(inside())
        with trace.working() as second:
            trace.note("wrote", "", "")
        trace.note("wrote", "", "")
    trace.note("wrote", "", "")
    assert first != second
    assert [entry[1] for entry in trace.document()["entries"]] == [first, second, first, 0]


async def test_each_component_of_a_process_has_its_own_ring() -> None:
    async def component(name: str) -> str:
        use(Trace(name))
        await asyncio.sleep(0)
        found = current()
        assert found is not None
        return found.component

    assert [*await asyncio.gather(component("a"), component("b"))] == ["a", "b"]
    assert current() is None


def test_a_delivery_is_the_cause_of_what_is_queued_while_it_is_handled() -> None:
    trace, causes = Trace("kubelet"), Causes()
    pod, node = ("pods", "default/web", "7"), ("nodes", "worker-1", "8")
    causes.remember("before")
    for _ in range(2):
        with Delivery(trace, pod, "ADDED"):
            causes.remember("key")
    with Delivery(trace, node, "MODIFIED"):
        causes.remember("key")
    with Delivery(None, node, "MODIFIED"):
        causes.remember("outside of every ring")
    assert causes.take("key") == (pod, node)
    assert causes.take("key") == causes.take("before") == causes.take("outside of every ring") == ()
    assert [entry[2:] for entry in trace.document()["entries"]] == [
        ["delivered", *pod, "ADDED"],
        ["delivered", *pod, "ADDED"],
        ["delivered", *node, "MODIFIED"],
    ]
