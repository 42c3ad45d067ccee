"""Decoding as Go's strict JSON decoder does, and the published documents."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.api.catalogue import CATALOGUE
from apimachinery.api.schema import SCHEMA, Schema, SchemaMissing, UnknownKind

_DEPLOYMENT = ("apps", "v1", "Deployment")
_POD = ("", "v1", "Pod")
_SECRET = ("", "v1", "Secret")


def _pod(**container):
    return {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", **container}]}}


@pytest.mark.parametrize(
    ("gvk", "body", "sentence"),
    [
        (
            _DEPLOYMENT,
            {"spec": {"replicas": "3"}},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            _DEPLOYMENT,
            {"spec": {"replicas": 2**40}},
            "json: cannot unmarshal number 1099511627776 into Go struct field DeploymentSpec.spec.replicas of type "
            "int32",
        ),
        (
            _DEPLOYMENT,
            {"spec": []},
            "json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
        (
            _POD,
            _pod(env=[{"name": "A", "value": 1}]),
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            _POD,
            _pod(ports={}),
            "json: cannot unmarshal object into Go struct field Container.spec.containers.ports of type "
            "[]v1.ContainerPort",
        ),
        (
            _POD,
            {"metadata": {"labels": {"a": 1}}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            _POD,
            {"metadata": {"labels": "a=b"}},
            "json: cannot unmarshal string into Go struct field ObjectMeta.metadata.labels of type map[string]string",
        ),
        (
            _POD,
            _pod(stdin="yes"),
            "json: cannot unmarshal string into Go struct field Container.spec.containers.stdin of type bool",
        ),
        (
            _POD,
            _pod(resources={"limits": {"cpu": "abc"}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (_SECRET, {"data": {"a": "%%"}}, "illegal base64 data at input byte 0"),
        (_SECRET, {"data": {"a": "YWJj%"}}, "illegal base64 data at input byte 4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_sentence_for_a_wrong_type(gvk, body, sentence):
    decoded = SCHEMA.decode(gvk, deepcopy(body))
    assert decoded.error == sentence
    assert len(SCHEMA.validate(gvk, body)) == 1


@pytest.mark.parametrize(
    ("gvk", "body", "unknown"),
    [
        (_POD, _pod(imge="x"), ["spec.containers[0].imge"]),
        (_POD, {"foo": 1, "spec": {"bar": {}}}, ["foo", "spec.bar"]),
        (_POD, {"metadata": {"labels": {"anything": "goes"}}}, []),
        (_POD, {"metadata": {"managedFields": [{"fieldsV1": {"f:x": {}}}]}}, []),
        (("apps", "v1", "ControllerRevision"), {"data": {"any": ["thing"]}}, []),
    ],
    ids=str,
)
def test_unknown_fields_are_named_and_pruned(gvk, body, unknown):
    before = deepcopy(body)
    assert SCHEMA.unknown_fields(gvk, body) == unknown
    pruned = SCHEMA.prune(gvk, body)
    assert SCHEMA.unknown_fields(gvk, pruned) == []
    assert body == before


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (_pod(command=None), _pod()),
        (_pod(args=[None, "a"]), _pod(args=["", "a"])),
        ({"metadata": {"labels": {"a": None}}}, {"metadata": {"labels": {"a": ""}}}),
        ({"spec": {"containers": [None]}}, {"spec": {"containers": [{}]}}),
        ({"metadata": {"creationTimestamp": None}}, {"metadata": {}}),
        (_pod(resources={"limits": {"cpu": None}}), _pod(resources={"limits": {"cpu": "0"}})),
    ],
    ids=str,
)
def test_nulls_become_what_go_makes_of_them(body, expected):
    decoded = SCHEMA.decode(_POD, body)
    assert decoded.object == expected
    assert decoded.error is None and decoded.unknown == []


@pytest.mark.parametrize(
    ("amount", "canonical"), [("0.5", "500m"), ("1000m", "1"), ("1024Mi", "1Gi"), (2, "2"), (0.1, "100m")]
)
@pytest.mark.parametrize("extra", [{}, {"command": None}], ids=["through the gate", "walked"])
def test_quantities_are_spelled_canonically(amount, canonical, extra):
    decoded = SCHEMA.decode(_POD, _pod(resources={"requests": {"cpu": amount}}, **extra))
    assert decoded.object["spec"]["containers"][0]["resources"]["requests"] == {"cpu": canonical}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"priority": 2.0},
            "json: cannot unmarshal number 2.0 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            {"securityContext": {"supplementalGroups": [1, 2.0]}},
            "json: cannot unmarshal number 2.0 into Go struct field "
            "PodSecurityContext.spec.securityContext.supplementalGroups of type int64",
        ),
        ({"containers": [{"name": "c", "image": "a:1.0", "args": ["1.0", ',2.0":3.0']}]}, None),
    ],
)
def test_a_float_is_no_integer(spec, told):
    assert SCHEMA.decode(_POD, {"spec": spec}).error == told


def test_times_are_spelled_in_utc():
    decoded = SCHEMA.decode(_POD, {"metadata": {"creationTimestamp": "2024-01-02T03:04:05.5+01:00"}})
    assert decoded.object["metadata"]["creationTimestamp"] == "2024-01-02T02:04:05Z"
    lease = SCHEMA.decode(("coordination.k8s.io", "v1", "Lease"), {"spec": {"renewTime": "2024-01-02T03:04:05Z"}})
    assert lease.object["spec"]["renewTime"] == "2024-01-02T03:04:05.000000Z"


def test_a_day_that_does_not_exist_is_refused():
    decoded = SCHEMA.decode(_POD, {"metadata": {"creationTimestamp": "2024-02-31T00:00:00Z"}})
    assert decoded.error is not None and "2024-02-31" in decoded.error


@pytest.mark.parametrize("port", [80, "http"])
def test_int_or_string_takes_both(port):
    body = {"spec": {"ports": [{"port": 80, "targetPort": port}]}}
    assert SCHEMA.decode(("", "v1", "Service"), deepcopy(body)).object == body


def test_a_sound_body_is_not_walked_and_comes_back_itself():
    body = _pod(image="nginx")
    assert SCHEMA.is_clean(_POD, body)
    assert SCHEMA.prune(_POD, body) is body


def test_zeros_are_left_out_as_go_leaves_them_out():
    body = {
        "metadata": {"name": "", "labels": {}, "generation": 0, "managedFields": []},
        "spec": {
            "hostNetwork": False, "hostname": "", "tolerations": [], "nodeSelector": {}, "affinity": {},
            "terminationGracePeriodSeconds": 0, "priority": 0, "enableServiceLinks": False, "securityContext": {},
            "volumes": [{"name": "a", "hostPath": {"path": "", "type": ""}}],
            "containers": [{
                "name": "", "args": [], "tty": False, "resources": {"limits": {}, "requests": {"cpu": "0"}},
                "ports": [{"containerPort": 0, "hostPort": 0}], "env": [{"name": "a", "value": ""}],
                "livenessProbe": {"initialDelaySeconds": 0, "httpGet": {"port": 0, "path": ""}},
                "securityContext": {"privileged": False, "capabilities": {"add": []}},
            }],
        },
        "status": {"containerStatuses": [{"name": "a", "ready": False, "restartCount": 0, "image": "", "imageID": ""}]},
    }  # fmt: skip
    assert not SCHEMA.is_clean(_POD, body)
    shown = {
        "metadata": {"managedFields": []},  # which asks for something
        "spec": {
            "affinity": {}, "terminationGracePeriodSeconds": 0, "priority": 0, "enableServiceLinks": False,
            "securityContext": {},
            "volumes": [{"name": "a", "hostPath": {"path": "", "type": ""}}],
            "containers": [{
                "name": "", "resources": {"requests": {"cpu": "0"}},
                "ports": [{"containerPort": 0}], "env": [{"name": "a"}],
                "livenessProbe": {"httpGet": {"port": 0}},
                "securityContext": {"privileged": False, "capabilities": {}},
            }],
        },
        "status": body["status"],
    }  # fmt: skip
    assert SCHEMA.decode(_POD, deepcopy(body)).object == shown
    assert SCHEMA.is_clean(_POD, shown)


def test_values_of_maps_are_no_zeros():
    body = {"metadata": {"annotations": {"a": ""}}, "data": {"empty": ""}, "binaryData": {}}
    kept = {"metadata": {"annotations": {"a": ""}}, "data": {"empty": ""}}
    assert SCHEMA.decode(("", "v1", "ConfigMap"), body).object == kept


def test_an_unknown_kind():
    with pytest.raises(UnknownKind):
        SCHEMA.decode(("", "v1", "Frob"), {})
    assert ("", "v1", "Frob") not in SCHEMA


@pytest.mark.parametrize("resource", list(CATALOGUE), ids=str)
def test_every_served_kind_decodes_an_empty_object(resource):
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "a"}}
    assert SCHEMA.decode(resource.gvk, deepcopy(body)).object == body


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["spec", "metadata", "containers", "labels", "name", "env", "resources", "limits", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["spec", "metadata", "status", "x"]), _json, max_size=3))
def test_what_was_cleaned_once_is_clean(body):
    decoded = SCHEMA.decode(_POD, deepcopy(body))
    if decoded.error is None:
        assert SCHEMA.is_clean(_POD, decoded.object)
        assert SCHEMA.decode(_POD, deepcopy(decoded.object)).object == decoded.object


def test_a_server_without_extracted_data_is_told_which_file_and_how_it_comes(tmp_path):
    with pytest.raises(SchemaMissing, match=r"definitions\.json: missing: installing kubelab writes it"):
        Schema(tmp_path).require()
