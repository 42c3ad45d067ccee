from controlplane.scheduler.pod_resources import render_resources
from tests.unit.controlplane.scheduler.objects_for_scheduling import pod


def test_every_pod_that_has_not_ended_tells_what_it_asks_for() -> None:
    limited = {"name": "main", "resources": {"limits": {"cpu": "1500m", "hugepages-2Mi": "4Mi"}}}
    found = render_resources(
        [
            pod("a", cpu="250m", memory="64Mi", on="n", priority=7, schedulerName="mine"),
            pod("waits", containers=[limited], overhead={"cpu": "500m", "memory": "1Mi"}),
            {**pod("ended", cpu="1", on="n"), "status": {"phase": "Succeeded"}},
            pod("wants-nothing"),
        ]
    ).decode()
    about = 'namespace="default",node="{}",pod="{}",priority="{}",resource="{}",scheduler="{}",unit="{}"}} {}'
    request, limit = "kube_pod_resource_request", "kube_pod_resource_limit"
    assert [line.partition("{")[::2] for line in found.splitlines() if line[0] != "#"] == [
        (request, about.format("n", "a", 7, "cpu", "mine", "cores", 0.25)),
        (
            "kube_pod_resource_request",
            about.format("n", "a", 7, "memory", "mine", "bytes", "6.7108864e+07"),
        ),
        (request, about.format("", "waits", 0, "cpu", "", "cores", 0.5)),
        (request, about.format("", "waits", 0, "memory", "", "bytes", "1.048576e+06")),
        (limit, about.format("", "waits", 0, "cpu", "", "cores", 2.0)),
        (limit, about.format("", "waits", 0, "hugepages-2Mi", "", "bytes", "4.194304e+06")),
    ]
