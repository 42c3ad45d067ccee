"""`python -m tests.hostile.decoders [--runs N] [NAME…]`: atheris against everything that reads what a client sends.

Coverage-guided: inputs that reach new lines are kept and changed further. A decoder may refuse with its own error and
with nothing else, and must be done within five seconds. Needs `pip install atheris` (3.0, Linux); Debian has no
package of it. Each decoder is fuzzed in a process of its own, since the fuzzer ends its process. Exit code 1 when one
fails, whose input is then in the working directory of the fuzzer, which is printed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

SECONDS = 5
LONGEST = 4096  # bytes of an input
ROOT = Path(__file__).parents[2]

Decoder = Callable[[bytes], Any]


def _decoders() -> dict[str, tuple[Decoder, tuple[type[Exception], ...], bytes]]:
    """Each decoder, the errors that it may raise, and an input to begin with."""
    import orjson

    from apimachinery.api.catalogue import PODS
    from apimachinery.api.schema import SCHEMA
    from apimachinery.kit import hpack, spdy
    from apimachinery.meta import cron, fields, labels, quantity, times, yaml_text
    from apimachinery.meta.patches import PatchError, json_patch, merge_patch, strategic_merge
    from apimachinery.meta.status import ApiError
    from controlplane.apiserver.cel.errors import CelError
    from controlplane.apiserver.cel.parser import parse
    from controlplane.apiserver.front import decode, negotiate, protobuf, request_info
    from controlplane.apiserver.front.protobuf_messages import MAGIC
    from controlplane.apiserver.registry import field_sets
    from controlplane.apiserver.registry.continuation import read_continue

    def of_text(function: Callable[[str], Any]) -> Decoder:
        return lambda data: function(data.decode(errors="replace"))

    def of_json(function: Callable[[Any], Any]) -> Decoder:
        return lambda data: function(orjson.loads(data))

    def yaml(data: bytes) -> None:
        for _ in yaml_text.reading(data, decode.MAX_DEPTH):
            pass

    def fields_of(document: Any) -> None:
        if isinstance(document, dict) and field_sets.is_well_formed(document):
            assert field_sets.from_wire(field_sets.to_wire(field_sets.from_wire(document))) is not None

    def body(document: Any) -> None:
        if isinstance(document, dict):
            decoded = SCHEMA.decode(PODS.gvk, document)
            orjson.dumps(decoded.object)

    import yaml as libyaml

    not_yaml = (libyaml.YAMLError, RecursionError, ValueError, TypeError, UnicodeError, ApiError)
    not_json = (orjson.JSONDecodeError,)
    pod = {"metadata": {"name": "a", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}}
    patch = partial(json_patch, pod)
    return {
        "json": (decode.decode_json, (ApiError,), b'{"a":[1,"\\u00e9",null]}'),
        "yaml": (yaml, not_yaml, b"a: [1, 'b']\nc: |\n  d\n"),
        "protobuf": (
            protobuf.decode, (ApiError,), MAGIC + b"\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x04\x0a\x02\x0a\0"
        ),
        "schema": (of_json(body), not_json, orjson.dumps(pod)),
        "json patch": (
            lambda data: patch(orjson.loads(data)), (*not_json, PatchError),
            b'[{"op":"add","path":"/metadata/labels/c","value":1},{"op":"move","from":"/spec","path":"/a"}]',
        ),
        "merge patch": (of_json(partial(merge_patch, pod)), (*not_json, PatchError), b'{"metadata":{"labels":null}}'),
        "strategic merge patch": (
            of_json(lambda document: strategic_merge(pod, document, SCHEMA.patch_meta(PODS.gvk))),
            (*not_json, PatchError),
            b'{"spec":{"containers":[{"name":"c","$patch":"delete"}],"$setElementOrder/containers":[{"name":"c"}]}}',
        ),
        "managed fields": (of_json(fields_of), not_json, b'{"f:a":{"k:{\\"b\\":1}":{".":{}},"v:1":{}}}'),
        "label selector": (of_text(labels.parse_selector), (ValueError,), b"a=b,c in (d,e),!f,g>1"),
        "field selector": (of_text(fields.parse_selector), (ValueError,), b"metadata.name=a,spec.b!=c"),
        "quantity": (of_text(quantity.parse), (ValueError,), b"1.5Gi"),
        "time": (of_text(times.parse), (ValueError,), b"2025-01-02T03:04:05.6+07:00"),
        "duration": (of_text(times.parse_duration), (ValueError,), b"1h2.5m"),
        "schedule": (of_text(cron.parse), (ValueError,), b"*/5 0-3 * JAN MON"),
        "path": (of_text(lambda text: request_info.parse("GET", text, {})), (), b"/apis/apps/v1/namespaces/a/pods/b"),
        "accept": (
            of_text(negotiate.accept), (ApiError,),
            b"application/json;as=Table;v=v1;g=meta.k8s.io,application/yaml;q=0.5",
        ),
        "continue": (of_text(lambda text: read_continue(text, "/registry/pods/")), (ApiError,), b"eyJ2IjoibWV0YSJ9"),
        "headers of HTTP/2": (
            lambda data: hpack.Decoder().decode(data), (hpack.HpackError,), b"\x82\x86\x40\x01a\x01b"
        ),
        "frames of SPDY": (lambda data: spdy.Codec().feed(data), (spdy.ProtocolError,), spdy.ping(b"\0\0\0\x01")),
        "expression": (of_text(parse), (CelError,), b"self.a.all(x, x > 1 && 'b' in {'b': [1u]}) ? -2.5 : b'c'"),
    }  # fmt: skip


def fuzz(name: str, runs: int, directory: Path) -> None:
    """Fuzz one decoder in this process, which ends with it."""
    import atheris  # type: ignore[import-not-found,unused-ignore]

    with atheris.instrument_imports(include=["apimachinery", "controlplane"]):
        decoder, errors, first = _decoders()[name]

    def attempt(data: bytes) -> None:
        began = time.monotonic()
        with suppress(*errors):
            decoder(data)
        # Not libfuzzer's own timer, whose signal may come when the process is ending.
        assert time.monotonic() - began < SECONDS, "it takes too long"

    attempt(first)
    (directory / "first").write_bytes(first)
    argv = [f"-atheris_runs={runs}", f"-max_len={LONGEST}", "-timeout=0", "-rss_limit_mb=1024"]
    atheris.Setup([sys.argv[0], *argv, f"-artifact_prefix={directory}/", str(directory)], attempt)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.hostile.decoders", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each decoder")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.alone:
        fuzz(options.alone, options.runs, Path.cwd())
        return 0
    failed = 0
    for name in options.names or _decoders():
        directory = tempfile.mkdtemp(prefix="kubelab-decoders-")
        argv = [sys.executable, "-m", "tests.hostile.decoders", "--runs", str(options.runs), "--alone", name]
        done = subprocess.run(argv, cwd=directory, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        last = done.stderr.strip().rpartition("\n")[2]
        # Not the exit code: the fuzzer's timer may still go off when the process, its work done, is ending.
        if last.startswith("Done "):
            shutil.rmtree(directory)
            print(f"{name}: {last}")
        else:
            failed += 1
            print(f"{name}: failed, {directory}\n{done.stderr[-3000:]}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
