"""CustomResourceDefinitions themselves: what they are refused for, what may not change, names, their end."""

from __future__ import annotations

# ruff: noqa: E501 (a table of messages is read by the line)
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import yaml

from tests.integration.definitions import CRDS, Kind
from tests.integration.process import wait_until

Object = dict[str, Any]


def test_definition_is_established_with_upstreams_conditions(kind: Kind) -> None:
    found = kind.plane.get("crd", kind.name)
    assert found["spec"]["names"]["singular"] == kind.kind.lower()
    assert found["spec"]["names"]["listKind"] == f"{kind.kind}List"
    assert found["spec"]["conversion"] == {"strategy": "None"}
    assert found["status"]["storedVersions"] == ["v1"]
    assert found["status"]["acceptedNames"] == found["spec"]["names"]
    shown = [(c["type"], c["status"], c["reason"], c["message"]) for c in found["status"]["conditions"]]
    assert shown == [
        ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
    ]


REFUSED: list[tuple[str, Callable[[Object], Any], str]] = [
    ("name", lambda d: d["metadata"].update(name="x.y.z"), 'metadata.name: Invalid value: "x.y.z": must be spec.names.plural+"."+spec.group'),
    ("group", lambda d: d["spec"].update(group="nodots"), 'spec.group: Invalid value: "nodots": should be a domain with at least one dot'),
    ("scope", lambda d: d["spec"].update(scope="Galaxy"), 'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'),
    ("storage", lambda d: d["spec"]["versions"][0].update(storage=False), "must have exactly one version marked as storage version"),
    ("version", lambda d: d["spec"]["versions"][0].update(name="V1!"), 'spec.versions[0].name: Invalid value: "V1!": a DNS-1035 label must consist of'),
    ("no-schema", lambda d: d["spec"]["versions"][0].pop("schema"), "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"),
    ("list-kind", lambda d: d["spec"]["names"].update(listKind=d["spec"]["names"]["kind"]), "kind and listKind may not be the same"),
    ("root-type", lambda d: _root(d).pop("type"), "spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root"),
    ("field-type", lambda d: _root(d)["properties"].update(x={}), "spec.validation.openAPIV3Schema.properties[x].type: Required value: must not be empty for specified object fields"),
    ("items", lambda d: _root(d)["properties"].update(x={"type": "array"}), "spec.validation.openAPIV3Schema.properties[x].items: Required value: must be specified"),
    ("both", lambda d: _root(d)["properties"].update(x={"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}), "additionalProperties and properties are mutual exclusive"),
    ("unique", lambda d: _root(d)["properties"].update(x={"type": "array", "uniqueItems": True, "items": {"type": "string"}}), "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"),
    ("ref", lambda d: _root(d)["properties"].update(x={"$ref": "#/definitions/y"}), "$ref is not supported"),
    ("pattern", lambda d: _root(d)["properties"].update(x={"type": "string", "pattern": "["}), "must be a valid regular expression, but isn't: error parsing regexp: missing ]"),
    ("nested", lambda d: _root(d).update(anyOf=[{"type": "object"}]), "spec.validation.openAPIV3Schema.anyOf[0].type: Forbidden: must be empty to be structural"),
    ("default", lambda d: _root(d)["properties"].update(x={"type": "integer", "default": "a"}), 'spec.validation.openAPIV3Schema.properties[x].default: Invalid value: "string":  in body must be of type integer: "string"'),
    ("keys", lambda d: _root(d)["properties"].update(x={"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}), "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"),
    ("preserve", lambda d: _root(d).update({"x-kubernetes-preserve-unknown-fields": False}), "must be true or undefined"),
    ("scale", lambda d: d["spec"]["versions"][0]["subresources"]["scale"].update(specReplicasPath=".status.x"), 'spec.subresources.scale.specReplicasPath: Invalid value: ".status.x": should be a json path under .spec'),
    ("column", lambda d: d["spec"]["versions"][0]["additionalPrinterColumns"].append({"name": "x", "type": "text", "jsonPath": ".a"}), 'spec.additionalPrinterColumns[3].type: Invalid value: "text": must be one of boolean,date,integer,number,string'),
    ("selectable", lambda d: d["spec"]["versions"][0].update(selectableFields=[{"jsonPath": ".spec.nope"}]), 'spec.selectableFields[0].jsonPath: Invalid value: ".spec.nope": is an invalid path: does not refer to a valid field'),
    ("protected", lambda d: (d["spec"].update(group="x.k8s.io"), d["metadata"].update(name=f"{d['spec']['names']['plural']}.x.k8s.io")), 'metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation'),
    ("webhook", lambda d: d["spec"].update(conversion={"strategy": "Webhook"}), "spec.conversion.conversionReviewVersions: Required value"),
    ("cel-field", lambda d: _rule(d, "self.nope > 1"), 'spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: apiextensions.ValidationRule{Rule:"self.nope > 1", Message:"", MessageExpression:"", Reason:(*apiextensions.FieldValueErrorReason)(nil), FieldPath:"", OptionalOldSelf:(*bool)(nil)}: compilation failed: ERROR: <input>:1:5: undefined field \'nope\''),
    ("cel-type", lambda d: _rule(d, "self.replicas"), "cel expression must evaluate to a bool"),
    ("cel-syntax", lambda d: _rule(d, "self.replicas >"), "compilation failed: ERROR: <input>:1:16: Syntax error: mismatched input '<EOF>'"),
    ("cel-dear", lambda d: _rule(d, "self.tags.all(x, self.tags.all(y, x == y))"), "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"),
    ("cel-dear-in-a-list", lambda d: _root(d)["properties"]["spec"]["properties"]["tags"]["items"].update({"x-kubernetes-validations": [{"rule": "self.contains('a')"}]}), "properties[spec].properties[tags].items.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"),
    ("cel-dear-together", lambda d: _root(d)["properties"]["spec"]["properties"]["tags"].update({"maxItems": 1000, "items": {"type": "string", "maxLength": 20000, "x-kubernetes-validations": [{"rule": f"self.contains('{letter}')"} for letter in "abcdefghijklm"]}}), "spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of 1.04"),
    ("cel-old-in-a-set", lambda d: _root(d)["properties"]["spec"]["properties"]["tags"]["items"].update({"maxLength": 5, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}), "oldSelf cannot be used on the uncorrelatable portion of the schema within spec.validation.openAPIV3Schema.properties[spec].properties[tags]"),
    ("cel-empty", lambda d: _rule(d, " "), "x-kubernetes-validations[0].rule: Required value: rule is not specified"),
]  # fmt: skip


def _root(definition: Object) -> Object:
    found: Object = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def _rule(definition: Object, text: str) -> None:
    _root(definition)["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": text}]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_bad_definitions(make_kind: Callable[..., Kind], change: Callable[[Object], Any], message: str) -> None:
    kind = make_kind()
    kind.definition = orjson.loads(orjson.dumps(kind.definition))
    change(kind.definition)
    answer = kind.plane.request("POST", CRDS, kind.definition)
    assert answer.code == 422, answer.body
    assert message in answer.json["message"]


def test_what_may_not_change(kind: Kind) -> None:
    asked = kind.plane.request("GET", f"{CRDS}/{kind.name}").json
    asked["spec"]["scope"] = "Cluster"
    refused = kind.plane.request("PUT", f"{CRDS}/{kind.name}", asked)
    assert refused.code == 422
    assert 'spec.scope: Invalid value: "Cluster": field is immutable' in refused.json["message"]
    renamed = {**kind.version, "name": "v9"}
    asked = kind.plane.request("GET", f"{CRDS}/{kind.name}").json
    asked["spec"]["versions"] = [renamed]
    refused = kind.plane.request("PUT", f"{CRDS}/{kind.name}", asked)
    assert 'status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions' in refused.json["message"]


def test_stored_versions_are_taken_away_by_status(make_kind: Callable[..., Kind]) -> None:
    kind = make_kind()
    kind.definition["spec"]["versions"].append({**kind.version, "name": "v2", "storage": False})
    kind.apply()
    for version in kind.definition["spec"]["versions"]:
        version["storage"] = not version["storage"]
    kind.apply()
    merge = {"Content-Type": "application/merge-patch+json"}
    path = f"{CRDS}/{kind.name}/status"
    # As upstream, the status is not compared with the specification; the next write of the specification is.
    assert kind.plane.request("PATCH", path, {"status": {"storedVersions": ["v1"]}}, headers=merge).code == 200
    assert kind.plane.request("PATCH", path, {"status": {"storedVersions": ["v2"]}}, headers=merge).code == 200
    del kind.definition["spec"]["versions"][0]
    kind.apply()
    assert kind.plane.get("crd", kind.name)["status"]["storedVersions"] == ["v2"]


def test_a_condition_that_somebody_wrote_without_a_type(make_kind: Callable[..., Kind]) -> None:
    kind = make_kind().apply()
    path, merge = f"{CRDS}/{kind.name}/status", {"Content-Type": "application/merge-patch+json"}
    found = kind.plane.request("PATCH", path, {"status": {"conditions": [{"message": "patched"}]}}, headers=merge)
    assert {"type": "", "status": "", "message": "patched"} in found.json["status"]["conditions"], found.body
    assert kind.plane.request("DELETE", f"{CRDS}/{kind.name}").code == 200
    kind.plane.kubectl("wait", "--for=delete", f"crd/{kind.name}", "--timeout=60s")


def test_what_was_stored_under_another_schema(make_kind: Callable[..., Kind], namespace: str) -> None:
    """Defaults are filled in, and what the schema has no more is left out, whenever it is read."""
    kind = make_kind().apply()
    kind.create(namespace, "a", image="x")
    kind.spec["properties"]["level"]["default"] = "low"
    del kind.spec["properties"]["image"]
    kind.apply()

    path = kind.path(namespace)

    def shown(found: Object) -> tuple[Any, Any]:
        return found["spec"].get("level"), found["spec"].get("image")

    def one() -> Object:
        found: Object = kind.plane.request("GET", f"{path}/a").json
        return found

    wait_until("the new schema", lambda: shown(one()) == ("low", None))
    listed = kind.plane.request("GET", path).json
    assert [shown(each) for each in listed["items"]] == [("low", None)]
    watched = kind.plane.request("GET", f"{path}?watch=1&timeoutSeconds=1&resourceVersion=0").body.splitlines()
    assert [shown(orjson.loads(line)["object"]) for line in watched] == [("low", None)]
    # A write that changes nothing of it keeps what is stored.
    written = kind.plane.request("PUT", f"{path}/a", one())
    assert written.json["metadata"]["generation"] == 1, written.body


def test_replicas_that_nobody_has_set(make_kind: Callable[..., Kind], namespace: str) -> None:
    kind = make_kind()
    kind.spec["properties"]["replicas"].pop("default")
    kind.spec.pop("x-kubernetes-validations")
    kind.apply()
    kind.create(namespace, "a")
    where = kind.path(namespace, "a") + "/scale"
    missing = kind.plane.request("GET", where)
    assert missing.code == 500
    assert missing.json["message"].endswith('the spec replicas field ".spec.replicas" does not exist')
    merge = {"Content-Type": "application/merge-patch+json"}
    nothing = kind.plane.request("PATCH", where, {"metadata": {"labels": {}}}, headers=merge)
    assert (nothing.code, nothing.json["message"]) == (400, 'the spec replicas field ".spec.replicas" cannot be empty')
    scaled = kind.plane.request("PATCH", where, {"spec": {"replicas": 3}}, headers=merge)
    assert (scaled.code, scaled.json["spec"]) == (200, {"replicas": 3})
    assert kind.plane.request("GET", where).json["spec"] == {"replicas": 3}


def test_formats_that_nobody_checks(make_kind: Callable[..., Kind]) -> None:
    kind = make_kind()
    kind.spec["properties"]["replicas"]["format"] = "int64"
    kind.spec["properties"]["image"]["format"] = "hostname"
    answer = kind.plane.request("POST", CRDS, kind.definition)
    assert answer.code == 201 and answer.headers["warning"] == '299 - "unrecognized format \\"int64\\""'


def test_names_that_are_taken(make_kind: Callable[..., Kind]) -> None:
    first, second = make_kind().apply(), make_kind()
    spec = second.definition["spec"]
    spec["group"] = first.group
    spec["names"] |= {"kind": first.kind, "shortNames": first.definition["spec"]["names"]["shortNames"]}
    second.name = second.definition["metadata"]["name"] = f"{second.plural}.{first.group}"
    second.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(second.definition))

    def conditions() -> dict[str, Object]:
        status = second.plane.get("crd", second.name)["status"]
        return {each["type"]: each for each in status.get("conditions") or ()}

    wait_until("a verdict", lambda: "NamesAccepted" in conditions())
    found = conditions()["NamesAccepted"]
    assert (found["status"], found["reason"]) == ("False", "ListKindConflict")
    assert found["message"] == f'"{first.kind}List" is already in use'
    assert conditions()["Established"]["reason"] == "NotAccepted"
    second.plane.kubectl("delete", "crd", first.name, "--timeout=120s")
    second.plane.kubectl("wait", "--for=condition=Established", f"crd/{second.name}", "--timeout=120s")


def test_the_end_of_a_definition_that_was_never_established(make_kind: Callable[..., Kind]) -> None:
    first, second = make_kind().apply(), make_kind()
    second.definition["spec"]["group"] = first.group
    second.definition["spec"]["names"]["kind"] = first.kind
    second.name = f"{second.plural}.{first.group}"
    second.definition["metadata"] = {"name": second.name, "finalizers": ["example.com/x"]}
    second.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(second.definition))
    second.plane.kubectl("wait", "--for=condition=NamesAccepted=false", f"crd/{second.name}", "--timeout=120s")
    second.plane.kubectl("delete", "crd", second.name, "--wait=false")
    second.plane.kubectl("wait", "--for=condition=Terminating=false", f"crd/{second.name}", "--timeout=120s")
    conditions = second.plane.get("crd", second.name)["status"]["conditions"]
    assert [each["reason"] for each in conditions if each["type"] == "Terminating"] == ["NeverEstablished"]
    second.plane.kubectl("patch", "crd", second.name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


def test_a_name_that_its_owner_gives_up(make_kind: Callable[..., Kind]) -> None:
    first, second = make_kind().apply(), make_kind()
    spec = second.definition["spec"]
    spec["group"] = first.group
    spec["names"]["shortNames"] = first.definition["spec"]["names"]["shortNames"]
    second.name = second.definition["metadata"]["name"] = f"{second.plural}.{first.group}"
    second.plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(second.definition))
    second.plane.kubectl("wait", "--for=condition=NamesAccepted=false", f"crd/{second.name}", "--timeout=120s")
    patch = '{"spec": {"names": {"shortNames": null}}}'
    first.plane.kubectl("patch", "crd", first.name, "--type=merge", "-p", patch)
    second.plane.kubectl("wait", "--for=condition=Established", f"crd/{second.name}", "--timeout=120s")


def test_deletion_takes_the_objects_along(kind: Kind, namespace: str) -> None:
    kind.create(namespace, "plain")
    held = kind.plane.request(
        "POST",
        kind.path(namespace),
        {**kind.object("held"), "metadata": {"name": "held", "finalizers": ["example.com/x"]}},
    )
    assert held.code == 201
    deleted = kind.plane.request("DELETE", f"{CRDS}/{kind.name}").json
    assert deleted["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]

    def terminating() -> str:
        status = kind.plane.get("crd", kind.name)["status"]
        return "".join(each["reason"] for each in status["conditions"] if each["type"] == "Terminating")

    wait_until("deletion is in progress", lambda: terminating() == "InstanceDeletionInProgress")
    wait_until("only the held one is left", lambda: len(_names(kind, namespace)) == 1)
    refused = kind.plane.request("POST", kind.path(namespace), kind.object("new"))
    assert refused.code == 405
    assert refused.json["message"] == "create not allowed while custom resource definition is terminating"
    merge = {"Content-Type": "application/merge-patch+json"}
    kind.plane.request("PATCH", kind.path(namespace, "held"), {"metadata": {"finalizers": None}}, headers=merge)
    wait_until("the definition is gone", lambda: kind.plane.request("GET", f"{CRDS}/{kind.name}").code == 404)
    assert kind.plane.request("GET", kind.path(namespace)).code == 404
    assert kind.plane.request("GET", f"/apis/{kind.group}").code == 404


def _names(kind: Kind, namespace: str) -> list[str]:
    return [each["metadata"]["name"] for each in kind.plane.request("GET", kind.path(namespace)).json["items"]]


def test_cluster_scope_and_names(make_kind: Callable[..., Kind]) -> None:
    kind = make_kind(scope="Cluster").apply()
    path = f"/apis/{kind.group}/v1/{kind.plural}"
    assert kind.plane.request("POST", path, kind.object("a")).code == 201
    assert kind.plane.request("POST", path, kind.object("Not_A_Name")).code == 422
    assert kind.plane.request("GET", f"{path}/a").json["metadata"].get("namespace") is None
