"""Accept headers, those of stock clients among them."""

import pytest

from apimachinery.meta.status import ApiError
from controlplane.apiserver.front.negotiate import Accepted, accept

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", Accepted()),
        ("*/*", Accepted()),
        ("application/yaml", Accepted("application/yaml")),
        (f"{TABLE},{TABLE.replace('v1', 'v1beta1')},application/json", Accepted("application/json", "Table", "v1")),
        ("application/vnd.kubernetes.protobuf,application/json", Accepted()),
        ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json;q=0.5", Accepted()),
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


def test_nothing_acceptable_is_406():
    with pytest.raises(ApiError) as refused:
        accept("application/vnd.kubernetes.protobuf")
    assert refused.value.code == 406
