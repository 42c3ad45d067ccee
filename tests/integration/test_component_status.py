"""`kubectl get componentstatuses`: asked anew at every answer."""

from __future__ import annotations

from pathlib import Path

from tests.integration.apiservers import ApiServer
from tests.integration.process import ControlPlane

PATH = "/api/v1/componentstatuses"


def test_a_control_plane_in_one_process_is_healthy(tmp_path: Path, own_etcd: str) -> None:
    plane = ControlPlane(tmp_path / "data", own_etcd)
    plane.start()
    try:
        printed = plane.kubectl("get", "componentstatuses").stdout
        one, none = plane.request("GET", f"{PATH}/scheduler"), plane.request("GET", f"{PATH}/nothing")
    finally:
        plane.stop()
    assert [line.split() for line in printed.splitlines()] == [
        ["NAME", "STATUS", "MESSAGE", "ERROR"],
        ["scheduler", "Healthy", "ok"],
        ["controller-manager", "Healthy", "ok"],
        ["etcd-0", "Healthy", "ok"],
    ]
    assert "deprecated in v1.19+" in one.headers["warning"]
    assert (one.json["kind"], one.json["metadata"]["name"]) == ("ComponentStatus", "scheduler")
    assert one.json["conditions"] == [{"type": "Healthy", "status": "True", "message": "ok"}]
    assert (none.code, none.json["message"]) == (404, 'componentstatuses "nothing" not found')


def test_an_api_server_asks_its_neighbours(tmp_path: Path) -> None:
    server = ApiServer(tmp_path / "data", "sqlite")
    server.start()
    try:
        items = server.request("GET", PATH).json["items"]
    finally:
        server.stop()
    assert [(item["metadata"]["name"], item["conditions"][0]["message"]) for item in items] == [
        (name, f'Get "https://127.0.0.1:{port}/healthz": dial tcp 127.0.0.1:{port}: connect: connection refused')
        for name, port in (("scheduler", 10259), ("controller-manager", 10257))
    ]
