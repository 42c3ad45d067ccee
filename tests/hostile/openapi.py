"""`python -m tests.hostile.openapi [--examples N] [--seed N] [--store sqlite|etcd]`: schemathesis on our OpenAPI.

Every operation of /openapi/v3 is asked with what its description allows and with what it forbids; no answer may be a
5xx, and nothing may be in the log that looks like a traceback. Needs `pip install schemathesis` (4.x). What streams,
or leads to a node, is left out (the decoders of those are `decoders.py`'s), and so is `watch`, which does not end.
Exit code 1 when anything was the server's fault.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import yaml

from tests.integration.process import DEADLINE, ControlPlane, running_etcd

STREAMS = ("/watch/", "/proxy", "/exec", "/attach", "/portforward", "/log")
MASTER = "super-admin.conf"  # everybody else loses their rights when roles are deleted
ENDLESS = frozenset(("watch", "sendInitialEvents", "timeoutSeconds", "allowWatchBookmarks"))


def description(plane: ControlPlane) -> bytes:
    """The server's OpenAPI, all groups in one document, without what does not end."""
    whole: dict[str, Any] = {}
    for entry in plane.request("GET", "/openapi/v3").json["paths"].values():
        document = plane.request("GET", entry["serverRelativeURL"]).json
        if not whole:
            whole = {**document, "paths": {}, "components": {"schemas": {}}}
        whole["components"]["schemas"].update(document["components"]["schemas"])
        for path, item in document["paths"].items():
            if any(word in path for word in STREAMS):
                continue
            for holder in (item, *(each for each in item.values() if isinstance(each, dict))):
                if "parameters" in holder:
                    holder["parameters"] = [each for each in holder["parameters"] if each.get("name") not in ENDLESS]
            whole["paths"][path] = item
    return orjson.dumps(whole)


def credentials(plane: ControlPlane, directory: Path) -> list[str]:
    """A certificate of system:masters, as schemathesis takes it."""
    config = yaml.safe_load((plane.directory / MASTER).read_text())
    held = {**config["clusters"][0]["cluster"], **config["users"][0]["user"]}
    flags = []
    for name, flag in (
        ("certificate-authority-data", "--tls-verify"),
        ("client-certificate-data", "--request-cert"),
        ("client-key-data", "--request-cert-key"),
    ):
        (directory / name).write_bytes(base64.b64decode(held[name]))
        flags += [flag, str(directory / name)]
    return flags


def answers(plane: ControlPlane) -> tuple[dict[int, int], list[str]]:
    """How many answers of each code the server has given, to whomever, and the metrics of those that were its fault."""
    with contextlib.closing(
        plane.connection(plane.directory / MASTER, plane.port, anonymous=False, timeout=DEADLINE)
    ) as connection:
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read().decode()
    counted: Counter[int] = Counter()
    faults = []
    for line in metrics.splitlines():
        if line.startswith("apiserver_request_total{") and (code := re.search(r'code="(\d+)"', line)):
            counted[int(code[1])] += int(float(line.rpartition(" ")[2]))
            if code[1].startswith("5") and "/readyz" not in line:  # as long as it starts
                faults.append(line)
    return dict(sorted(counted.items())), faults


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.hostile.openapi", description=__doc__)
    parser.add_argument("--examples", type=int, default=20, help="for each operation, at most")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--store", choices=("sqlite", "etcd"), default="sqlite")
    parser.add_argument("--phases", default="fuzzing", help="with coverage: a thousand more for each operation")
    parser.add_argument("--only", default=".", help="a regular expression of paths")
    options = parser.parse_args()
    began = time.monotonic()
    with contextlib.ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="kubelab-openapi-")))
        store = undo.enter_context(running_etcd(directory / "etcd")) if options.store == "etcd" else "sqlite"
        plane = ControlPlane(directory / "data", store)
        plane.start()
        undo.callback(plane.kill)
        (directory / "openapi.json").write_bytes(description(plane))
        argv = [
            str(Path(sys.executable).parent / "schemathesis"), "run", str(directory / "openapi.json"),
            "--url", f"https://127.0.0.1:{plane.port}", *credentials(plane, directory),
            "--checks", "not_a_server_error", "--phases", options.phases, "--mode", "all", "--workers", "1",
            "--max-examples", str(options.examples), "--seed", str(options.seed), "--request-timeout", "30",
            "--include-path-regex", options.only, "--no-color", "--continue-on-failure",
        ]  # fmt: skip
        code = subprocess.run(argv, cwd=directory).returncode
        problems = [] if plane.alive else ["the server has died"]
        if "Traceback" in plane.log:
            problems.append(f"a traceback in the log: …{plane.log.partition('Traceback')[2][:3000]}")
        counted, faults = answers(plane) if plane.alive else ({}, [])
        memory = plane.memory() if plane.alive else 0.0
        problems += faults
        print(
            f"seed {options.seed}: {time.monotonic() - began:.0f} s, answers {counted}, memory {memory:.0f} MB, "
            f"{len(problems)} problems besides"
        )
    for problem in problems:
        print(f"- {problem}", file=sys.stderr)
    return 1 if code or problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
