"""Manifests of `kind: List`: the one case in which stock kubectl checks against the server's OpenAPI v2."""

from tests.integration.process import ControlPlane

LIST = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {a: b}}
- {apiVersion: v1, kind: Secret, metadata: {name: two}, stringData: {a: b}}
"""


def test_a_list_is_created_applied_and_deleted(control_plane: ControlPlane, namespace: str) -> None:
    created = control_plane.kubectl("create", "-n", namespace, "-f", "-", stdin=LIST).stdout
    assert created == "configmap/one created\nsecret/two created\n"
    changed = control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=LIST.replace("a: b", "a: c")).stdout
    assert changed == "configmap/one configured\nsecret/two configured\n"
    control_plane.kubectl("delete", "-n", namespace, "-f", "-", stdin=LIST)
    names = control_plane.get("configmaps", "-n", namespace)["items"]
    assert [item["metadata"]["name"] for item in names] in ([], ["kube-root-ca.crt"])


def test_an_unknown_field_of_an_item_is_refused(control_plane: ControlPlane, namespace: str) -> None:
    refused = control_plane.kubectl(
        "create", "-n", namespace, "-f", "-", stdin=LIST.replace("data: {a: b}}", "dada: {a: b}}", 1), check=False
    )
    assert refused.returncode == 1 and 'unknown field "dada"' in refused.stderr
