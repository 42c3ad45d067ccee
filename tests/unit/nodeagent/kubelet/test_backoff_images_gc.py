"""Crash backoff, image references and credentials, garbage collection plans."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, ClassVar

import pytest

from apimachinery.kit.clock import ManualClock
from nodeagent.cri import messages as cri
from nodeagent.kubelet.backoff import CrashBackoff
from nodeagent.kubelet.gc import Collector, plan_containers, plan_sandboxes
from nodeagent.kubelet.image_gc import ImageCollector, ImageUse, Policy, plan_images, plan_old
from nodeagent.kubelet.images import pull_policy, with_default_tag
from nodeagent.kubelet.node.machine import Filesystem
from nodeagent.kubelet.paths import Paths
from nodeagent.kubelet.recorder import Recorder
from nodeagent.kubelet.runtime.state import ContainerState, PodState, SandboxState, State


async def test_a_crashing_container_waits_longer_each_time_and_a_stable_one_starts_anew() -> None:
    clock = ManualClock()
    backoff = CrashBackoff(clock)
    waits = []
    for life in range(8):
        backoff.saw_end(f"c{life}")
        waits.append(round(backoff.remaining("k", f"c{life}")))
        await clock.advance(waits[-1])
        assert backoff.remaining("k", f"c{life}") == 0
        backoff.next("k", f"c{life}")
        clock.jump(-3600)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]
    await clock.advance(601)
    backoff.saw_end("stable")
    assert backoff.remaining("k", "stable") == 0, "it starts at once, whatever it had to wait before"
    backoff.next("k", "stable")
    assert backoff.delay("k") == 10


@pytest.mark.parametrize(
    ("image", "tagged", "policy"),
    [
        ("nginx", "nginx:latest", "Always"),
        ("nginx:1", "nginx:1", "IfNotPresent"),
        ("reg.example:5000/a/b", "reg.example:5000/a/b:latest", "Always"),
        ("localhost/a@sha256:" + "0" * 64, "localhost/a@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_references(image: str, tagged: str, policy: str) -> None:
    assert (with_default_tag(image), pull_policy({"image": image})) == (tagged, policy)


def dead(name: str, n: int, **more: Any) -> ContainerState:
    return ContainerState(f"{name}{n}", name, State.EXITED, restart_count=n, **more)


def test_one_dead_container_is_kept_beside_the_current_one() -> None:
    running = ContainerState("a9", "a", State.RUNNING)
    state = PodState("u", containers=(running, dead("a", 3), dead("a", 2), dead("a", 1), dead("b", 1), dead("b", 0)))
    assert [container.id for container in plan_containers(state)] == ["a2", "a1"]


async def test_a_dead_container_goes_with_its_logs(tmp_path: Path) -> None:
    class Runtime:
        removed: ClassVar[list[str]] = []

        async def remove_container(self, container_id: str) -> None:
            self.removed.append(container_id)

    for name in ("1.log", "1.log.20240101-000000.gz", "1.log.20240101-000001", "2.log", "3.log", "10.log"):
        (tmp_path / name).touch()
    state = PodState("u", containers=tuple(dead("a", n, log_path=f"{tmp_path}/{n}.log") for n in (3, 2, 1)))
    runtime: Any = Runtime()
    await Collector(runtime, Paths(tmp_path)).pod(state)
    assert runtime.removed == ["a1"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["10.log", "2.log", "3.log"]


def test_old_sandboxes_go_when_they_are_empty() -> None:
    boxes = tuple(SandboxState(f"s{n}", n, n == 3) for n in (3, 2, 1, 0))
    state = PodState("u", sandboxes=boxes, containers=(dead("a", 0, sandbox_id="s1"),))
    assert plan_sandboxes(state) == ["s2", "s0"]


MANY = [
    ImageUse("new", 50, 0, 950),
    ImageUse("old", 10, 100, 0),
    ImageUse("never", 10, 0, 0),
    ImageUse("x", 99, 500, 0),
]


def test_images_go_by_last_use_and_the_young_are_spared() -> None:
    assert [image.id for image in plan_images(MANY, 15, 1000, 120)] == ["never", "old"]
    assert plan_images(MANY, 0, 1000, 120) == []


class Images:
    """A runtime with an image that nobody uses."""

    def __init__(self) -> None:
        self.left = ["unused"]

    async def list_images(self) -> list[cri.Image]:
        return [cri.Image(id=image, size=10) for image in self.left]

    async def list_containers(self) -> list[cri.Container]:
        return []

    async def sandbox_image(self) -> str:
        return ""

    async def remove(self, image: str) -> None:
        self.left.remove(image)


@pytest.mark.parametrize(
    ("policy", "left"),
    [(Policy(high=99), []), (Policy(high=100), ["unused"]), (Policy(high=100, max_age=9999), [])],
)
async def test_a_full_disk_is_not_looked_at_where_the_high_mark_is_all_of_it(
    policy: Policy, left: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    images: Any = Images()

    async def disk() -> Filesystem:
        return Filesystem(1000, 0, 0, 0)

    collector = ImageCollector(images, images, disk, {}, policy, Recorder(None, "n"), ManualClock())
    await collector.run_once()
    assert images.left == left
    removed = '"Removing image to free bytes" imageID="unused" size='
    assert any(text.startswith(removed) for text in caplog.messages) is (not left)
    once = (
        '"Image garbage collection failed once. Stats initialization may not have completed yet" err="Failed to garbage'
    )
    assert any(text.startswith(once) for text in caplog.messages) is (not left)


def test_images_go_by_age_once_they_have_been_watched_long_enough() -> None:
    policy = Policy(max_age=600, min_age=120)
    assert [image.id for image in plan_old(MANY, 1000, policy, watched_for=601)] == ["old", "never"]
    assert plan_old(MANY, 1000, policy, watched_for=600) == []
    assert plan_old(MANY, 1000, Policy(), watched_for=9999) == []
