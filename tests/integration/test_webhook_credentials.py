"""Credentials for webhooks: a server that was started with a WebhookAdmissionConfiguration, and a real webhook."""

from __future__ import annotations

from pathlib import Path

import orjson

from tests.integration.admitting import Webhook
from tests.integration.apiservers import ApiServer


def configuration(directory: Path, tokens: dict[str, str]) -> Path:
    """Each plug-in's token for every webhook."""
    plugins = []
    for plugin, token in tokens.items():
        kubeconfig = directory / f"{plugin}.kubeconfig"
        kubeconfig.write_bytes(orjson.dumps({"users": [{"name": "*", "user": {"token": token}}]}))
        said = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration"}
        plugins.append({"name": plugin, "configuration": {**said, "kubeConfigFile": str(kubeconfig)}})
    file = directory / "admission.json"
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins}
    file.write_bytes(orjson.dumps(document))
    return file


def test_each_plugin_shows_its_own_credentials(tmp_path: Path) -> None:
    tokens = {"MutatingAdmissionWebhook": "changes", "ValidatingAdmissionWebhook": "judges"}
    file = configuration(tmp_path, tokens)
    server = ApiServer(tmp_path / "data", "sqlite", f"--admission-control-config-file={file}")
    server.start()
    with Webhook(tmp_path).serving() as webhook:
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            document = webhook.configuration(kind, "default", "configmaps")
            server.kubectl("create", "-f", "-", stdin=orjson.dumps(document).decode())
        made = server.kubectl("create", "configmap", "a", "-n", "default")
        assert made.stdout == "configmap/a created\n"
        assert webhook.shown == ["Bearer changes", "Bearer judges"]
    assert server.stop() == 0, server.log
