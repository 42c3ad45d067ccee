"""Pulling: which credentials are shown, how many pulls at once, what is told while waiting."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from apimachinery.kit.bucket import TokenBucket
from apimachinery.kit.clock import ManualClock
from nodeagent.cri import messages as cri
from nodeagent.cri.errors import RuntimeCallError
from nodeagent.kubelet.credentials import credentials, matches
from nodeagent.kubelet.images import ImageManager, ImageProblem
from nodeagent.kubelet.references import fault


def secret(auths: dict[str, Any], kind: str = ".dockerconfigjson") -> dict[str, Any]:
    document = {"auths": auths} if kind == ".dockerconfigjson" else auths
    return {"metadata": {"name": "s"}, "data": {kind: base64.b64encode(json.dumps(document).encode()).decode()}}


def entry(user: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:p:q".encode()).decode()}


@pytest.mark.parametrize(
    ("key", "image", "found"),
    [
        ("reg.example", "reg.example/a:1", True),
        ("reg.example", "other.example/a:1", False),
        ("reg.example:5000", "reg.example/a", False),
        ("reg.example:5000", "reg.example:5000/a", True),
        ("*.example", "reg.example/a", True),
        ("*.example", "a.reg.example/a", False),
        ("reg-?.example", "reg-1.example/a", True),
        ("reg.example/team", "reg.example/team/a", True),
        ("reg.example/team", "reg.example/other/a", False),
        ("index.docker.io", "nginx", True),
        ("index.docker.io", "docker.io/library/nginx", True),
        ("docker.io", "someone/nginx:1", True),
        ("index.docker.io", "localhost/nginx", False),
    ],
)
def test_places(key: str, image: str, found: bool) -> None:
    assert matches(key, image) is found


def users(image: str, *secrets: dict[str, Any], files: tuple[Path, ...] = ()) -> list[str]:
    found = credentials(image, secrets, files)
    assert all(each.password == "p:q" for each in found)
    return [each.username for each in found]


def test_the_most_particular_entry_comes_first(tmp_path: Path) -> None:
    held = secret({"reg.example": entry("all"), "reg.example/team": entry("team"), "other": entry("no")})
    assert users("reg.example/team/a", held) == ["team", "all"]
    assert users("nginx", secret({"https://index.docker.io/v1/": entry("hub")})) == ["hub"]
    assert users("reg.example/a", secret({"https://reg.example/v2/": entry("v2")}, ".dockercfg")) == ["v2"]
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"auths": {"reg.example": entry("node")}}))
    assert users("reg.example/a", held, files=(file, tmp_path / "none")) == ["all", "node"]


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b'{"auths": 1}', b'{"auths": {"a": 1}}', b'{"auths":{"a":{"auth":"!"}}}']
)
def test_what_cannot_be_read_holds_nothing(text: bytes) -> None:
    assert credentials("a/b", [{"data": {".dockerconfigjson": base64.b64encode(text).decode()}}]) == []


class Registry:
    """An image service whose pulls wait until they are let go, and fail with `problem`."""

    def __init__(self, problem: str = "") -> None:
        self.problem, self.running, self.most, self.auths = problem, 0, 0, list[str]()
        self.go = asyncio.Event()

    async def status(self, image: str) -> cri.Image | None:
        return cri.Image(id=image, size=5) if image.startswith("pulled") else None

    async def pull(self, image: str, auth: cri.AuthConfig | None, _: Any) -> str:
        self.auths.append(auth.username if auth is not None else "")
        self.running += 1
        self.most = max(self.most, self.running)
        await self.go.wait()
        self.running -= 1
        if self.problem:
            raise RuntimeCallError("PullImage", "UNKNOWN", f"{self.problem} {self.auths[-1]}".strip())
        return f"pulled-{image}"


def pod(uid: str) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "d", "uid": uid}, "spec": {"containers": []}}


@pytest.mark.parametrize(
    ("settings", "most"),
    [({"serialize": True}, 1), ({"serialize": False, "parallel": 3}, 3), ({"serialize": False}, 8)],
)
async def test_pulls_at_once(settings: dict[str, Any], most: int) -> None:
    registry: Any = Registry()
    images = ImageManager(registry, ManualClock(), **settings)
    said: list[tuple[str, str, str]] = []

    async def one(number: int) -> cri.Image:
        container = {"name": "c", "image": f"reg.example/{number}:1"}
        return await images.ensure(
            pod(str(number)), container, lambda *line: said.append(line), (), cri.PodSandboxConfig()
        )

    tasks = [asyncio.create_task(one(number)) for number in range(8)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert registry.most == most
    registry.go.set()
    assert len(await asyncio.gather(*tasks)) == 8
    assert ("Normal", "Pulling", 'Pulling image "reg.example/3:1"') in said


async def test_so_many_pulls_are_begun_and_one_more_fails(caplog: pytest.LogCaptureFixture) -> None:
    registry: Any = Registry()
    registry.go.set()
    clock = ManualClock()
    images = ImageManager(registry, clock, pace=TokenBucket(5, 2, clock))
    said: list[tuple[str, str, str]] = []

    async def pull(number: int) -> str:
        container = {"name": "c", "image": f"reg.example/{number}:1"}
        try:
            await images.ensure(
                pod(str(number)), container, lambda *line: said.append(line), (), cri.PodSandboxConfig()
            )
        except ImageProblem as problem:
            return f"{problem.reason} {problem}"
        return ""

    assert [await pull(number) for number in range(3)] == ["", "", "ErrImagePull pull QPS exceeded"]
    assert said[-1] == ("Warning", "Failed", 'Failed to pull image "reg.example/2:1": pull QPS exceeded')
    assert caplog.messages == ['"Failed to pull image" err="pull QPS exceeded" image="reg.example/2:1"']
    assert (await pull(2)).startswith("ImagePullBackOff ")
    await clock.advance(11)
    assert await pull(2) == ""


async def test_what_went_wrong_is_told_as_long_as_it_is_waited_for() -> None:
    registry: Any = Registry("denied")
    registry.go.set()
    clock = ManualClock()
    images = ImageManager(registry, clock)
    held = [secret({"reg.example": entry("b"), "*.example": entry("a")})]
    said: list[tuple[str, str, str]] = []

    async def attempt() -> ImageProblem:
        container = {"name": "c", "image": "reg.example/a:1"}
        with pytest.raises(ImageProblem) as failed:
            await images.ensure(pod("u"), container, lambda *line: said.append(line), held, cri.PodSandboxConfig())
        return failed.value

    first = await attempt()
    texts = "[rpc error: code = Unknown desc = denied b, rpc error: code = Unknown desc = denied a]"
    assert (first.reason, str(first)) == ("ErrImagePull", texts) and registry.auths == ["b", "a"]
    waiting = await attempt()
    assert waiting.reason == "ImagePullBackOff"
    assert str(waiting) == f'Back-off pulling image "reg.example/a:1": ErrImagePull: {texts}'
    assert said[-1] == ("Normal", "BackOff", 'Back-off pulling image "reg.example/a:1"')
    await clock.advance(11)
    assert (await attempt()).reason == "ErrImagePull"


@pytest.mark.parametrize("image", ["", "UPPER", "a/Upper", "a b", "x:y:z", "reg.example/", "-a", "a//b"])
async def test_names_that_are_none(image: str) -> None:
    registry: Any = Registry()
    with pytest.raises(ImageProblem, match="couldn't parse image name") as failed:
        await ImageManager(registry, ManualClock()).ensure(
            pod("u"), {"name": "c", "image": image}, lambda *_: None, (), cri.PodSandboxConfig()
        )
    assert failed.value.reason == "InvalidImageName"


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("Nginx", "invalid reference format: repository name (library/Nginx) must be lowercase"),
        ("docker.io/Nginx:1", "invalid reference format: repository name (library/Nginx) must be lowercase"),
        ("reg.example/Team/a:V1", "invalid reference format: repository name (Team/a) must be lowercase"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("a b", "invalid reference format"),
        ("nginx:1\n", "invalid reference format"),
        ("Team/nginx:V1", None),
        ("reg.example:5000/a/b:V1", None),
    ],
)
def test_what_is_wrong_with_a_name(image: str, why: str | None) -> None:
    assert fault(image) == why


@pytest.mark.parametrize(
    ("took", "shown"), [(0.25, "250ms"), (1.5, "1.5s"), (2.0, "2s"), (12.3409, "12.34s"), (62.345, "1m2.345s")]
)
async def test_how_long_a_pull_took_is_told_as_go_does(took: float, shown: str) -> None:
    registry: Any = Registry()
    clock, said = ManualClock(), list[str]()
    task = asyncio.create_task(
        ImageManager(registry, clock).ensure(
            pod("u"), {"name": "c", "image": "a:1"}, lambda *line: said.append(line[2]), (), cri.PodSandboxConfig()
        )
    )
    while not registry.running:
        await asyncio.sleep(0)
    await clock.advance(took)
    registry.go.set()
    await task
    assert said[-1] == (f'Successfully pulled image "a:1" in {shown} ({shown} including waiting). Image size: 5 bytes.')
