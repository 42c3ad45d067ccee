"""Which container, address and port a request means, with upstream's refusals."""

from __future__ import annotations

import asyncio
import errno
import ssl
from typing import Any

import pytest
from multidict import CIMultiDict

from apimachinery.api.catalogue import PODS
from apimachinery.meta.status import ApiError
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.registry.call import Call
from controlplane.apiserver.streams import location
from controlplane.apiserver.streams.forward import Forwarder, Sent, Unreachable
from controlplane.apiserver.streams.location import Name
from controlplane.apiserver.streams.pods import choose_container, is_set, log_query
from controlplane.apiserver.streams.target import Target

Object = dict[str, Any]


def pod(*containers: str, **more: Any) -> Object:
    spec = {"containers": [{"name": name} for name in containers], **more}
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("web", Name("", "web", "")),
        ("web:80", Name("", "web", "80")),
        ("https:web:443", Name("https", "web", "443")),
        ("http:web:", Name("http", "web", "")),
        (":web:http", Name("", "web", "http")),
    ],
)
def test_names(text: str, found: Name) -> None:
    assert location.split_name(text, "service") == found


@pytest.mark.parametrize("text", ["", ":80", "ftp:web:21", "a:b:c:d", "https::443"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(ApiError) as refused:
        location.split_name(text, "service")
    assert (refused.value.code, refused.value.message) == (400, f'invalid service request "{text}"')


def test_the_port_of_a_pod() -> None:
    declared = pod("a", "b")
    declared["spec"]["containers"][1]["ports"] = [{"containerPort": 8080}, {"containerPort": 9090}]
    assert location.pod_port(declared, "") == 8080 and location.pod_port(declared, "81") == 81
    assert location.pod_port(pod("a"), "") is None
    with pytest.raises(ApiError):
        location.pod_port(declared, "http")


@pytest.mark.parametrize("ip", ["", "127.0.0.1", "169.254.169.254", "::1", "0.0.0.0", "fe80::1", "nonsense"])
def test_a_pod_leads_nobody_to_this_machine(ip: str) -> None:
    with pytest.raises(ApiError) as refused:
        location.pod_address({"metadata": {"name": "p"}, "status": {"podIPs": [{"ip": ip}]}})
    assert (refused.value.code, refused.value.message) == (400, "address not allowed")


SERVICE = {"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53}]}}


def test_the_port_of_a_service() -> None:
    assert location.service_port_name(SERVICE, "53") == "dns"
    assert location.service_port_name(SERVICE, "http") == "http" and location.service_port_name(SERVICE, "") == ""
    with pytest.raises(ApiError) as refused:
        location.service_port_name(SERVICE, "81")
    assert (refused.value.code, refused.value.message) == (503, 'no service port 81 found for service "web"')


def test_a_random_valid_endpoint() -> None:
    subsets = [
        {"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"name": "http", "port": 8080}]},
        {"notReadyAddresses": [{"ip": "10.0.0.9"}], "ports": [{"name": "http", "port": 8080}]},
    ]

    async def second(address: Object) -> bool:
        return bool(address["ip"] == "10.0.0.2")

    async def none(address: Object) -> bool:
        return False

    for _ in range(20):
        assert asyncio.run(location.endpoint({"subsets": subsets}, "http", "web:http", second)) == ("10.0.0.2", 8080)
    for port, valid in (("dns", second), ("http", none)):
        with pytest.raises(ApiError) as refused:
            asyncio.run(location.endpoint({"subsets": subsets}, port, "web:x", valid))
        assert (refused.value.code, refused.value.message) == (503, 'no endpoints available for service "web:x"')


def test_the_container() -> None:
    assert choose_container(pod("main"), "") == "main"
    both = pod("main", "side", initContainers=[{"name": "init"}], ephemeralContainers=[{"name": "dbg"}])
    for name in ("main", "side", "init", "dbg"):
        assert choose_container(both, name) == name
    with pytest.raises(ApiError) as refused:
        choose_container(both, "")
    listed = "a container name must be specified for pod p, choose one of: [init main side dbg]"
    assert (refused.value.code, refused.value.message) == (400, listed)
    with pytest.raises(ApiError) as refused:
        choose_container(both, "x")
    assert refused.value.message == "container x is not valid for pod p"


def _call(**query: str) -> Call:
    async def allow(_: Attributes) -> tuple[Decision, str]:
        return Decision.ALLOW, ""

    return Call(User("u"), PODS, "get", "ns", "p", allow, "log", query)


def test_log_options_for_the_node_agent() -> None:
    asked = _call(follow="", timestamps="True", previous="0", tailLines="5", limitBytes="10", sinceSeconds="3")
    assert log_query(asked) == [
        ("follow", "true"),
        ("timestamps", "true"),
        ("sinceSeconds", "3"),
        ("tailLines", "5"),
        ("limitBytes", "10"),
    ]
    assert log_query(_call(sinceTime="2024-01-02T03:04:05+01:00")) == [("sinceTime", "2024-01-02T02:04:05Z")]


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ({"tailLines": "-1"}, 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ({"limitBytes": "0"}, 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "0"}, 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"sinceSeconds": "1", "sinceTime": "2024-01-02T03:04:05Z"}, 422, "at most one of `sinceTime` or"),
        ({"tailLines": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"tailLines": "9" * 30}, 400, "value out of range"),
        ({"sinceTime": "yesterday"}, 400, "parsing time"),
        ({"stream": "Stdin"}, 422, "Unsupported value"),
    ],
)
def test_log_options_that_cannot_be(query: dict[str, str], code: int, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        log_query(_call(**query))
    assert refused.value.code == code and message in refused.value.message


def test_flags() -> None:
    query = {"a": "", "b": "1", "c": "false", "d": "0", "e": "anything"}
    assert [is_set(query, name) for name in "abcdef"] == [True, True, False, False, True, False]


def test_why_a_backend_cannot_be_reached() -> None:
    target = Target("fd00::1", 443, None)
    refused = RuntimeError("wrapped")
    refused.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    assert target.unreachable(refused) == "dial tcp [fd00::1]:443: connect: connection refused"
    assert target.unreachable(TimeoutError()) == "dial tcp [fd00::1]:443: i/o timeout"


async def test_a_backend_that_speaks_no_tls_is_told_of() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        target = Target("127.0.0.1", server.sockets[0].getsockname()[1], ssl.create_default_context())
        forwarder = Forwarder()
        with pytest.raises(Unreachable, match=r"^tls: first record does not look like a TLS handshake$"):
            await forwarder.ask(target, Sent("GET", "/", "", CIMultiDict(), ""))
        await forwarder.close()
