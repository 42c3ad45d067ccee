"""Accept headers, those of stock clients among them."""

import pytest

from apimachinery.meta.status import ApiError
from controlplane.apiserver.front.negotiate import Accepted, accept, look_at_route, preferred

PROTOBUF = "application/vnd.kubernetes.protobuf"
PARTIAL = "as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Accepted()),
        ("*/*", Accepted()),
        ("application/yaml", Accepted("application/yaml")),
        (f"{TABLE},{TABLE.replace('v1', 'v1beta1')},application/json", Accepted("application/json", "Table", "v1")),
        (f"{PROTOBUF},application/json", Accepted(PROTOBUF)),
        (f"application/json,{PROTOBUF}", Accepted()),
        (f"{PROTOBUF};q=0.5,application/json", Accepted()),
        (f"{PROTOBUF}, */*", Accepted(PROTOBUF)),
        ("application/json;pretty=1", Accepted(pretty=True)),
        ("application/json;pretty=true", Accepted()),
        ("application/json;v=v1,application/yaml", Accepted("application/yaml")),
        ("text/yaml,APPLICATION/YAML,application/json", Accepted()),
        (f"{PROTOBUF};stream=watch,application/json", Accepted(PROTOBUF)),
        (f"{PROTOBUF};stream=other,application/json", Accepted()),
        (f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io,application/json;q=0.5", Accepted()),
        (f"{PROTOBUF};{PARTIAL},application/json", Accepted(PROTOBUF, "PartialObjectMetadata", "v1")),
        ("application/json;as=Unheard;v=v1;g=meta.k8s.io, application/json", Accepted()),
        ("application/yaml;q=0.1, application/json;q=0.9", Accepted()),
        (
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Accepted("application/json", "PartialObjectMetadataList", "v1"),
        ),
    ],
)
def test_the_best_clause_that_can_be_served(header, expected):
    assert accept(header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"{PROTOBUF},application/json", Accepted()),
        (f"{PROTOBUF}, */*", Accepted()),
        (f"{PROTOBUF};{PARTIAL},application/json", Accepted(PROTOBUF, "PartialObjectMetadata", "v1")),
    ],
)
def test_of_a_kind_without_protobuf_only_the_metadata_has_it(header, expected):
    assert accept(header, protobuf=False) == expected


@pytest.mark.parametrize(
    ("header", "protobuf"),
    [("text/plain", True), (PROTOBUF, False), (f"{PROTOBUF};as=Table;v=v1;g=meta.k8s.io", True)],
)
def test_nothing_acceptable_is_406(header, protobuf):
    with pytest.raises(ApiError) as refused:
        accept(header, protobuf=protobuf)
    assert refused.value.code == 406
    assert refused.value.message == (
        f"only the following media types are accepted: application/json, application/yaml, {PROTOBUF}"
    )


def test_an_answer_without_other_shapes():
    assert preferred(f"{PROTOBUF};{PARTIAL},{PROTOBUF},application/json") == Accepted(PROTOBUF)
    assert preferred("text/plain") is None
    assert preferred(TABLE) is None


@pytest.mark.parametrize(
    "header", ["", "*/*", "text/html, */*;q=0.1", "application/yaml;as=Nothing", f"a/b,{PROTOBUF}"]
)
def test_what_a_route_lets_through(header):
    look_at_route(header)


@pytest.mark.parametrize("header", ["text/html", "application/*", "*", "APPLICATION/JSON", ",", ";;", "text/yaml"])
def test_what_a_route_refuses_in_its_own_words(header):
    with pytest.raises(ApiError) as refused:
        look_at_route(header, streamed=True)
    assert refused.value.to_status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, "
        f"{PROTOBUF}, application/json;stream=watch, {PROTOBUF};stream=watch",
        "reason": "NotAcceptable",
        "details": {},
        "code": 406,
    }
