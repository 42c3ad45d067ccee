"""What a person reads who makes the commonest mistakes, all of them in one apply."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.integration.process import ControlPlane

# ruff: noqa: E501 (a table of messages is read by the line)

Object = dict[str, Any]

_POD: Object = {"containers": [{"name": "c", "image": "x"}]}
_LABEL = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"


def _object(api_version: str, kind: str, name: str, **fields: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def _cron(name: str, schedule: str, **spec: Any) -> Object:
    job = {"spec": {"template": {"spec": {**_POD, "restartPolicy": "Never"}}}}
    return _object("batch/v1", "CronJob", name, spec={"schedule": schedule, "jobTemplate": job, **spec})


MISTAKES: list[tuple[Object, list[str]]] = [
    (_object("v1", "Service", "ports", spec={"ports": [{"port": 80}, {"port": 443}]}), [
        "spec.ports[0].name: Required value",
        "spec.ports[1].name: Required value",
    ]),
    (_object("v1", "Service", "kind", spec={"type": "ClusterIp", "ports": [{"port": 80}]}), [
        'spec.type: Unsupported value: "ClusterIp": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ]),
    (_object("v1", "Service", "node-port", spec={"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}), [
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
    ]),
    (_object("v1", "PersistentVolumeClaim", "claim", spec={"accessModes": ["RWO"]}), [
        'spec.accessModes: Unsupported value: "RWO": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
        "spec.resources[storage]: Required value",
    ]),
    (_object("v1", "Secret", "registry", type="kubernetes.io/dockerconfigjson", stringData={".dockerconfigjson": "eyJh"}), [
        'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character \'e\' looking for beginning of value',
    ]),
    (_cron("minute", "61 * * * *"), [
        'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61',
    ]),
    (_cron("zone", "CRON_TZ=UTC * * * * *"), [
        'spec.schedule: Invalid value: "CRON_TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
    ]),
    (_cron("c" * 53, "* * * * *"), [
        f'metadata.name: Invalid value: "{"c" * 53}": must be no more than 52 characters',
    ]),
    (_object("networking.k8s.io/v1", "Ingress", "paths", spec={"rules": [{"http": {"paths": [{"path": "a", "backend": {"service": {"name": "web"}}}]}}]}), [
        "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
    ]),
    (_object("networking.k8s.io/v1", "NetworkPolicy", "policy", spec={"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/255.0.0.0"}}]}]}), [
        'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.0/255.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ]),
    (_object("apps/v1", "Deployment", "selector", spec={"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "c"}}, "spec": _POD}}), [
        'spec.template.metadata.labels: Invalid value: map[string]string{"a":"c"}: `selector` does not match template `labels`',
    ]),
    (_object("v1", "Pod", "names", spec={"containers": [{"name": "C", "image": "x"}]}), [
        f'spec.containers[0].name: Invalid value: "C": {_LABEL}',
    ]),
]  # fmt: skip


def test_what_kubectl_says(control_plane: ControlPlane, namespace: str) -> None:
    # Documents, not a List: what a List holds kubectl judges itself, by /openapi/v2.
    documents = "\n".join(json.dumps(found) for found, _ in MISTAKES)
    done = control_plane.kubectl("-n", namespace, "apply", "-f", "-", stdin=documents, check=False)
    assert done.returncode == 1 and done.stdout == ""
    told = dict(
        re.findall(r'^Error from server \(Invalid\): .* "([^"]+)" is invalid: (.*)$', done.stderr, re.MULTILINE)
    )
    assert told == {
        found["metadata"]["name"]: texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" for found, texts in MISTAKES
    }, done.stderr


def test_a_malformed_quantity_is_no_fault_of_the_server(control_plane: ControlPlane, namespace: str) -> None:
    """Of a new pod, of a changed one, and of one that is to be debugged."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"name": "p"}, "spec": _POD}
    assert control_plane.request("POST", path, pod).code == 201
    malformed: list[Any] = ["1x", "", "--1", True, {}, "1e1e1"]
    for quantity in malformed:
        resources = {"requests": {"cpu": quantity}}
        wrong = {"spec": {"containers": [{**_POD["containers"][0], "resources": resources}]}}
        merge = {"Content-Type": "application/strategic-merge-patch+json"}
        answers = [
            control_plane.request("POST", path, {"metadata": {"name": "q"}, **wrong}),
            control_plane.request("PATCH", f"{path}/p", wrong, headers=merge),
            control_plane.request("PATCH", f"{path}/p/ephemeralcontainers", wrong, headers=merge),
        ]
        assert [answer.code for answer in answers] == [400, 422, 422], (quantity, [answer.body for answer in answers])
        assert all("quantities must match the regular expression" in answer.json["message"] for answer in answers)


def test_a_resource_version_on_a_new_object_is_the_last_thing_refused(
    control_plane: ControlPlane, namespace: str
) -> None:
    """The store refuses it: who may not create the object, or has it wrong, reads that instead (and so of a dry run)."""
    path, metadata = f"/api/v1/namespaces/{namespace}/configmaps", {"name": "new", "resourceVersion": "7"}
    wrong = control_plane.request("POST", path, {"metadata": metadata, "data": {"a key": "1"}})
    assert wrong.code == 422 and "a key" in wrong.json["message"]
    told = control_plane.request("POST", path, {"metadata": metadata})
    assert (told.code, told.json["message"]) == (400, "resourceVersion should not be set on objects to be created")
    assert control_plane.request("POST", f"{path}?dryRun=All", {"metadata": metadata}).code == 201
    assert control_plane.request("GET", f"{path}/new").code == 404
