"""Accept headers, those of stock clients among them."""

import pytest

from apimachinery.meta.status import ApiError
from controlplane.apiserver.front.negotiate import Accepted, accept, preferred

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


def test_an_answer_without_other_shapes_is_json_for_who_takes_nothing_else():
    assert preferred(f"{PROTOBUF},application/json") == PROTOBUF
    assert preferred("text/plain") == "application/json"
