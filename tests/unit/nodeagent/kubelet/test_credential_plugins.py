"""Credential provider plug-ins: real programs, asked as is configured and no oftener than their answers allow."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from apimachinery.kit.clock import ManualClock
from apimachinery.kit.config import Problems
from nodeagent.kubelet.credential_config import Provider, read_providers
from nodeagent.kubelet.credential_plugins import CredentialPlugins, PluginFailed, read_answer
from nodeagent.kubelet.credentials import credentials, repository

V1 = "credentialprovider.kubelet.k8s.io/v1"


def answer(key: str = "Image", **more: Any) -> dict[str, Any]:
    auth = {"*.example": {"username": "glob", "password": "p"}, "reg.example/team": {"username": "u", "password": "p"}}
    return {"apiVersion": V1, "kind": "CredentialProviderResponse", "cacheKeyType": key, "auth": auth, **more}


def program(folder: Path, body: str, name: str = "helper") -> Path:
    """A plug-in that notes what it is asked in `asked`, a line each."""
    (folder / name).write_text(f"#!/bin/sh\ncat >> {folder}/asked\necho >> {folder}/asked\n{body}\n")
    (folder / name).chmod(0o755)
    return folder / name


def answering(folder: Path, document: dict[str, Any], *more: str) -> None:
    (folder / "answer").write_text(json.dumps(document))
    program(folder, "\n".join((*more, f"cat {folder}/answer")))


def asked(folder: Path) -> list[str]:
    file = folder / "asked"
    return [json.loads(line)["image"] for line in file.read_text().splitlines()] if file.exists() else []


def provider(**more: Any) -> Provider:
    base = Provider(name="helper", match_images=("*.example",), cache=60.0, api_version=V1)
    return replace(base, **more)


def plugins(folder: Path, clock: ManualClock | None = None, **more: Any) -> CredentialPlugins:
    return CredentialPlugins([provider(**more)], folder, clock or ManualClock())


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "docker.io/library/nginx"),
        ("someone/nginx:1", "docker.io/someone/nginx"),
        ("docker.io/nginx@sha256:0", "docker.io/library/nginx"),
        ("reg.example:5000/a/b:1@sha256:0", "reg.example:5000/a/b"),
    ],
)
def test_names_of_images(image: str, name: str) -> None:
    assert repository(image) == name


async def test_the_program_is_asked_with_its_arguments_and_environment(tmp_path: Path) -> None:
    answering(tmp_path, answer(), f'echo "$1 $WORD $HOME" > {tmp_path}/told')
    held = plugins(tmp_path, args=("--first",), env={"WORD": "word"})
    found = await held.auths("reg.example/team/a:1")
    assert [each.username for each in credentials("reg.example/team/a:1", [], plugins=found)] == ["u", "glob"]
    assert json.loads((tmp_path / "asked").read_text()) == {
        "apiVersion": V1,
        "kind": "CredentialProviderRequest",
        "image": "reg.example/team/a",
    }
    first, word, home = (tmp_path / "told").read_text().split()
    assert (first, word) == ("--first", "word") and home.startswith("/")


@pytest.mark.parametrize(
    ("globs", "image", "matched"),
    [
        (("*.example",), "reg.example/a", True),
        (("*.example",), "a.reg.example/a", False),
        (("*.*.example",), "a.reg.example/a", True),
        (("reg.example",), "reg.example:5000/a", False),
        (("reg.example:5000/team",), "reg.example:5000/team/a", True),
        (("reg.example:5000/team",), "reg.example:5000/other/a", False),
        (("other", "docker.io/library"), "nginx", True),
        (("index.docker.io",), "nginx", False),
    ],
)
async def test_which_images_a_plugin_is_asked_for(
    tmp_path: Path, globs: tuple[str, ...], image: str, matched: bool
) -> None:
    answering(tmp_path, answer())
    await plugins(tmp_path, match_images=globs).auths(image)
    assert asked(tmp_path) == ([repository(image)] if matched else [])


@pytest.mark.parametrize(
    ("key", "runs"),
    [
        ("Image", ["reg.example/a", "reg.example/b", "two.example/a"]),
        ("Registry", ["reg.example/a", "two.example/a"]),
        ("Global", ["reg.example/a"]),
    ],
)
async def test_an_answer_is_kept_for_what_it_says(tmp_path: Path, key: str, runs: list[str]) -> None:
    answering(tmp_path, answer(key))
    held = plugins(tmp_path)
    for image in ("reg.example/a:1", "reg.example/a:2", "reg.example/b", "two.example/a"):
        assert await held.auths(image)
    assert asked(tmp_path) == runs


@pytest.mark.parametrize(
    ("told", "default", "kept"), [("20s", 60.0, 20.0), (None, 60.0, 60.0), ("0s", 60.0, 0.0), (None, 0.0, 0.0)]
)
async def test_an_answer_is_kept_as_long_as_it_says(
    tmp_path: Path, told: str | None, default: float, kept: float
) -> None:
    answering(tmp_path, answer(cacheDuration=told))
    clock = ManualClock()
    held = plugins(tmp_path, clock, cache=default)
    await held.auths("reg.example/a")
    await clock.advance(kept)
    await held.auths("reg.example/a")
    assert len(asked(tmp_path)) == (1 if kept else 2)
    await clock.advance(1.0)
    await held.auths("reg.example/a")
    assert len(asked(tmp_path)) == (2 if kept else 3)


async def test_who_asks_at_once_for_one_image_shares_a_run(tmp_path: Path) -> None:
    answering(tmp_path, answer(cacheDuration="0s"))
    held = plugins(tmp_path)
    one = asyncio.create_task(held.auths("reg.example/a"))
    others = [asyncio.create_task(held.auths("reg.example/a")) for _ in range(3)]
    await asyncio.sleep(0)
    one.cancel()
    assert all([bool(await other) for other in others]) and asked(tmp_path) == ["reg.example/a"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("echo no luck >&2; exit 3", "error execing credential provider plugin helper for image reg.example/a: "
         "exit status 3: no luck"),
        ("echo secret", "couldn't get version/kind; json parse error"),
        ("echo '{\"apiVersion\": \"v2\"}'", f"did not match expected apiVersion:{V1}, actual apiVersion:v2"),
        (f"echo '{json.dumps(answer(key='Nothing'))}'", 'did not return a valid cacheKeyType: "Nothing"'),
        (f"echo '{json.dumps(answer(secret='s'))}'",
         "error decoding credential provider plugin response from stdout"),
    ],
)  # fmt: skip
async def test_a_plugin_that_fails_is_logged_and_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, body: str, sentence: str
) -> None:
    program(tmp_path, body)
    held = plugins(tmp_path)
    assert await held.auths("reg.example/a") == [{}]
    assert sentence in caplog.text and "secret" not in caplog.text
    answering(tmp_path, answer())
    assert await held.auths("reg.example/a") != [{}], "a failure is not kept"


async def test_a_plugin_that_is_gone_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert await plugins(tmp_path).auths("reg.example/a") == [{}]
    assert "error execing credential provider plugin helper" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "Other"},
        {"auth": []},
        {"auth": {"a": {"username": 1}}},
        {"auth": {"a": {"token": "t"}}},
        {"cacheDuration": 5},
        {"cacheDuration": "soon"},
    ],
)
def test_answers_are_read_strictly(wrong: dict[str, Any]) -> None:
    with pytest.raises(PluginFailed, match="error decoding credential provider plugin response from stdout"):
        read_answer(json.dumps(answer() | wrong).encode(), V1)


def written(folder: Path, *providers: dict[str, Any], **more: Any) -> tuple[list[Provider], list[str]]:
    """What is read of a configuration with these plug-ins, and what is wrong with it."""
    head = {"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig"}
    (folder / "config.yaml").write_text(yaml.safe_dump({**head, "providers": list(providers), **more}))
    problems = Problems()
    return read_providers(folder / "config.yaml", folder, problems), list(problems)


ENTRY = {"name": "helper", "matchImages": ["*.example"], "defaultCacheDuration": "1m", "apiVersion": V1}


def test_a_configuration(tmp_path: Path) -> None:
    program(tmp_path, "")
    [found], wrong = written(tmp_path, {**ENTRY, "args": ["-a"], "env": [{"name": "A", "value": "b"}]})
    assert not wrong and found == provider(args=("-a",), env={"A": "b"})
    _, [problem] = written(tmp_path, {**ENTRY, "name": ""})
    assert "did not exist" in problem


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "a/b"}, 'providers.name: Invalid value: "a/b": provider name cannot contain \'/\''),
        ({"name": "a b"}, 'providers.name: Invalid value: "a b": provider name cannot contain spaces'),
        ({"name": ".."}, "providers.name: Invalid value: \"..\": provider name cannot be '..'"),
        ({"apiVersion": ""}, "providers.apiVersion: Required value"),
        ({"apiVersion": "v1"}, f'providers.apiVersion: Unsupported value: "v1": supported values: "{V1}", '
         f'"{V1}alpha1", "{V1}beta1"'),
        ({"matchImages": []}, "providers.matchImages: Required value: at least 1 item in matchImages is required"),
        ({"matchImages": ["a b"]}, 'providers.matchImages: Invalid value: "a b": match image is invalid: parse '
         '"https://a b": invalid character " " in host name'),
        ({"matchImages": ["a:b/c"]}, 'providers.matchImages: Invalid value: "a:b/c": match image is invalid: parse '
         '"https://a:b/c": invalid port ":b" after host'),
        ({"defaultCacheDuration": None}, "providers.defaultCacheDuration: Required value"),
        ({"defaultCacheDuration": "-1s"}, 'providers.defaultCacheDuration: Invalid value: "-1s": '
         "defaultCacheDuration must be greater than or equal to 0"),
        ({"name": "nowhere"}, "plugin binary executable {folder}/nowhere did not exist"),
        ({"tokenAttributes": {}}, 'strict decoding error: unknown field "providers[0].tokenAttributes"'),
        ({"matchImages": "*"}, "cannot unmarshal into Go struct field CredentialProviderConfig.providers.matchImages"),
        ({"env": [{"nam": "a"}]}, "CredentialProviderConfig.providers.env of type"),
        ({"defaultCacheDuration": "soon"}, 'time: invalid duration "soon"'),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plugin(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    program(tmp_path, "")
    _, [problem] = written(tmp_path, ENTRY | change)
    assert problem.startswith("failed to register CredentialProvider plugins: ")
    assert sentence.format(folder=tmp_path) in problem


def test_what_is_wrong_with_a_configuration(tmp_path: Path) -> None:
    program(tmp_path, "")
    assert written(tmp_path)[1][0].endswith("providers: Required value: at least 1 item in plugins is required")
    assert 'providers.name: Duplicate value: "helper"' in written(tmp_path, ENTRY, ENTRY)[1][0]
    assert 'failed to decode "Pod" (wrong Kind)' in written(tmp_path, ENTRY, kind="Pod")[1][0]
    assert "unexpected Group: v1" in written(tmp_path, ENTRY, apiVersion="v1")[1][0]
    assert 'unknown field "what"' in written(tmp_path, ENTRY, what=1)[1][0]
    for file, folder, sentence in (
        (tmp_path / "none", tmp_path, f'from "{tmp_path}/none": No such file or directory'),
        (tmp_path / "config.yaml", tmp_path / "none", f"plugin binary directory {tmp_path}/none did not exist"),
        (None, tmp_path, "credential provider config path is empty"),
    ):
        problems = Problems()
        assert read_providers(file, folder, problems) == [] and sentence in next(iter(problems))
