"""A look at one pod: one round trip where nothing is new, and never older than the listing; last words."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from nodeagent.cri import messages as cri
from nodeagent.cri.errors import ContainerNotFound
from nodeagent.kubelet.runtime.observer import Observer
from nodeagent.kubelet.runtime.state import PodState, State
from nodeagent.kubelet.runtime.termination import read_message

Status = cri.PodSandboxStatus | cri.ContainerStatus


class Runtime:
    """One pod: what listings show, what is answered about each (the next of a list), and the order of all calls."""

    def __init__(self, listed: dict[str, Any], answers: dict[str, list[Any]]) -> None:
        self.listed, self.answers = listed, answers
        self.rounds: list[set[str]] = []
        self._answered = False

    async def _called(self, what: str) -> None:
        """Calls that are made before the first of them is answered are one round."""
        if not self.rounds or self._answered:
            self.rounds.append(set())
            self._answered = False
        self.rounds[-1].add(what)
        await asyncio.sleep(0.001)
        self._answered = True

    async def list_pod_sandboxes(self, _selector: object) -> list[cri.PodSandbox]:
        await self._called("sandboxes")
        return [cri.PodSandbox(id=box, state=how) for box, how in self.listed.items() if box.startswith("box")]

    async def list_containers(self, _selector: object) -> list[cri.Container]:
        await self._called("containers")
        found = self.listed.items()
        return [cri.Container(id=one, state=how, pod_sandbox_id="box") for one, how in found if one.startswith("c")]

    async def pod_sandbox_status(self, identity: str) -> cri.PodSandboxStatus:
        return cri.PodSandboxStatus(id=identity, state=await self._answer(identity))

    async def container_status(self, identity: str) -> cri.ContainerStatus:
        return cri.ContainerStatus(id=identity, state=await self._answer(identity))

    async def _answer(self, identity: str) -> Any:
        await self._called(identity)
        answers = self.answers[identity]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise ContainerNotFound("Status", "NOT_FOUND", identity)
        return answer


def shown(state: PodState) -> dict[str, State]:
    return {container.id: container.state for container in state.containers}


async def test_what_was_seen_before_is_asked_about_beside_the_listings() -> None:
    found = {"box": cri.SANDBOX_READY, "c1": cri.CONTAINER_RUNNING}
    runtime: Any = Runtime(found, {identity: [state] for identity, state in found.items()})
    observer = Observer(runtime)
    first = await observer.observe("uid")
    assert runtime.rounds == [{"sandboxes", "containers"}, {"box", "c1"}]
    assert await observer.observe("uid") == first
    assert runtime.rounds[2:] == [{"sandboxes", "containers", "box", "c1"}]
    assert first.sandbox is not None and first.sandbox.ready and shown(first) == {"c1": State.RUNNING}


async def test_what_was_just_started_is_expected() -> None:
    runtime: Any = Runtime({"c1": cri.CONTAINER_RUNNING}, {"c1": [cri.CONTAINER_RUNNING]})
    observer = Observer(runtime)
    observer.learn_started("uid", "c1")
    assert observer.owners == {"c1": "uid"}
    assert shown(await observer.observe("uid")) == {"c1": State.RUNNING}
    assert runtime.rounds == [{"sandboxes", "containers", "c1"}]


async def test_an_answer_from_before_the_end_that_the_listing_shows_is_asked_for_again() -> None:
    runtime: Any = Runtime({"c1": cri.CONTAINER_EXITED}, {"c1": [cri.CONTAINER_RUNNING, cri.CONTAINER_EXITED]})
    observer = Observer(runtime)
    observer.learn_started("uid", "c1")
    assert shown(await observer.observe("uid")) == {"c1": State.EXITED}
    assert runtime.rounds == [{"sandboxes", "containers", "c1"}, {"c1"}]


async def test_what_is_gone_is_left_out() -> None:
    runtime: Any = Runtime({"c2": cri.CONTAINER_RUNNING}, {"c1": [cri.CONTAINER_RUNNING], "c2": [None]})
    observer = Observer(runtime)
    observer.learn("uid", {"c1": "Running"})
    assert shown(await observer.observe("uid")) == {}, "c1 is listed no more, c2 went after the listing"
    assert (observer.seen, observer.owners) == ({}, {})


def test_last_words_are_the_end_of_the_file_or_of_the_log(tmp_path: Path) -> None:
    file, log = tmp_path / "file", tmp_path / "log"
    file.write_text("begun " + "x" * 4090 + " ended")
    assert read_message(str(file), "", fall_back=True) == "x" * 4090 + " ended"
    file.write_text("")
    log.write_bytes(b"2025-01-01T00:00:00Z stdout F 10%\r20%\r\n2025-01-01T00:00:01Z stderr F no\n")
    assert read_message(str(file), str(log), fall_back=True) == "10%\r20%\r\nno\n"
    assert read_message(str(file), str(log), fall_back=False) == ""
    os.mkfifo(tmp_path / "pipe")
    assert read_message(str(tmp_path / "pipe"), "", fall_back=False) == ""
