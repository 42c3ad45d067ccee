"""Stock kubectl's own settings: what kubeconfig and kuberc files make of the next command."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.integration.process import ControlPlane, kubectl_version


def test_config_is_made_and_used(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    shutil.copyfile(control_plane.kubeconfig, file)

    def config(*argv: str) -> str:
        return control_plane.kubectl(*argv, environment={"KUBECONFIG": str(file)}).stdout

    before = config("config", "current-context").strip()
    config(
        "config", "set-credentials", "robot", f"--token={config('create', 'token', 'default', '-n', namespace).strip()}"
    )
    cluster = config("config", "view", "-o", "jsonpath={.clusters[0].name}")
    config("config", "set-context", "mine", f"--cluster={cluster}", "--user=robot", f"--namespace={namespace}")
    config("config", "use-context", "mine")
    assert f"system:serviceaccount:{namespace}:default" in config("auth", "whoami")
    assert config("config", "view", "--minify", "-o", "jsonpath={..namespace}") == namespace
    config("config", "rename-context", "mine", "ours")
    assert {before, "ours"} <= set(config("config", "get-contexts", "-o", "name").split())
    config("config", "use-context", before)
    config("config", "delete-context", "ours")
    config("config", "delete-user", "robot")
    assert "DATA+OMITTED" in config("config", "view") and "robot" not in config("config", "get-users")


def test_preferences_hold_for_the_next_command(control_plane: ControlPlane, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "KUBECTL_KUBERC": "true"}
    wide = ("kuberc", "set", "--section=defaults", "--command=get", "--option=output=name")
    said = control_plane.kubectl(*wide, environment=home, check=False)
    if 'unknown command "kuberc"' in said.stderr:
        assert kubectl_version() < (1, 36)
        return
    assert said.returncode == 0, said.stderr
    assert "name: output" in control_plane.kubectl("kuberc", "view", environment=home).stdout
    found = control_plane.kubectl("get", "namespace", "default", environment=home).stdout
    assert found == "namespace/default\n"
