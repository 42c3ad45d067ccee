"""--authentication-config against real HTTPS providers: two of them, expressions, rules, a file that changes, and where
people without credentials are let in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.apiservers import ApiServer
from tests.integration.process import wait_until
from tests.integration.test_oidc import review, whoami, without_credentials
from tests.openid import Key, OpenIDProvider

RELOADS = "apiserver_authentication_config_controller_automatic_reloads_total"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[OpenIDProvider, OpenIDProvider]]:
    """Two providers; the second signs with PS384."""
    with ExitStack() as stack:
        found = []
        for name, algorithm in (("one", "RS256"), ("two", "PS384")):
            (tmp_path / name).mkdir()
            found.append(stack.enter_context(OpenIDProvider(tmp_path / name, Key(algorithm)).serving()))
        yield found[0], found[1]


def provider(issuer: OpenIDProvider, **more: Any) -> Any:
    """A JWTAuthenticator. more: members of it instead of the usual ones."""
    said = {"url": issuer.url, "audiences": ["kubernetes"], "certificateAuthority": issuer.authority.read_text()}
    return {"issuer": said, "claimMappings": {"username": {"claim": "sub", "prefix": "plain:"}}, **more}


def full(issuer: OpenIDProvider) -> Any:
    """One that has something of everything."""
    return provider(
        issuer,
        claimMappings={
            "username": {"expression": "claims.email_verified ? 'oidc:' + claims.email : ''"},
            "groups": {"expression": "claims.roles.split(',').map(r, 'oidc:' + r)"},
            "uid": {"claim": "sub"},
            "extra": [{"key": "example.org/tenant", "valueExpression": "claims.?tenant.orValue('')"}],
        },
        claimValidationRules=[
            {"claim": "hd", "requiredValue": "example.org"},
            {"expression": "claims.exp - claims.iat <= 3600", "message": "token is too long-lived"},
        ],
        userValidationRules=[
            {"expression": "!user.groups.exists(g, g == 'oidc:banned')", "message": "banned"},
        ],
    )


def write(file: Path, *providers: Any, **more: Any) -> None:
    """The whole file at once, as an editor or a ConfigMap's volume does it."""
    head = {"apiVersion": "apiserver.config.k8s.io/v1beta1", "kind": "AuthenticationConfiguration"}
    new = file.with_suffix(".new")
    new.write_bytes(orjson.dumps({**head, "jwt": list(providers), **more}))
    new.rename(file)


ANONYMOUS = {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/version"}]}


@pytest.fixture
def server(pair: tuple[OpenIDProvider, OpenIDProvider], tmp_path: Path) -> Iterator[ApiServer]:
    file = tmp_path / "authentication.json"
    write(file, full(pair[0]), anonymous=ANONYMOUS)
    argv = ("--authorization-mode=Node,RBAC", f"--authentication-config={file}")
    found = ApiServer(tmp_path / "data", "sqlite", *argv)
    found.start()
    yield found
    found.stop()


def test_a_file(server: ApiServer, pair: tuple[OpenIDProvider, OpenIDProvider], tmp_path: Path) -> None:
    one, two = pair
    jane = {"email": "jane@example.org", "email_verified": True, "hd": "example.org", "roles": "devs,ops"}
    wait_until("the provider is found", lambda: whoami(server, one.token(**jane)))
    assert whoami(server, one.token(**jane, tenant="blue")) == {
        "username": "oidc:jane@example.org",
        "uid": "7",
        "groups": ["oidc:devs", "oidc:ops", "system:authenticated"],
        "extra": {"example.org/tenant": ["blue"]},
    }
    kubeconfig = str(without_credentials(server, tmp_path / "kubeconfig"))
    argv = ("--token", one.token(**jane), "auth", "whoami")
    shown = server.kubectl(*argv, environment={"KUBECONFIG": kubeconfig}).stdout
    assert "oidc:jane@example.org" in shown and "[oidc:devs oidc:ops system:authenticated]" in shown
    for changes, why in (
        ({"email_verified": False}, "oidc: empty username via CEL expression is not allowed"),
        ({"hd": "else"}, "oidc: required claim hd value does not match. Got = else, want = example.org"),
        (
            {"iat": 0},
            "oidc: error evaluating claim validation expression: validation expression 'claims.exp - claims.iat <= "
            "3600' failed: token is too long-lived",
        ),
        (
            {"roles": "banned"},
            "oidc: error evaluating user info validation rule: validation expression '!user.groups.exists(g, g == "
            "'oidc:banned')' failed: banned",
        ),
    ):
        refused = {"authenticated": False, "user": {}, "error": f"[invalid bearer token, {why}]"}
        assert review(server, one.token(**{**jane, **changes})) == refused
    for path, code in (("/livez", 200), ("/version", 200), ("/readyz", 401), ("/livez/ping", 401), ("/api", 401)):
        assert server.request("GET", path, anonymous=True).code == code, path

    file = tmp_path / "authentication.json"
    write(file, full(one), provider(two), anonymous=ANONYMOUS)
    wait_until("the second provider is believed too", lambda: whoami(server, two.token()))
    assert whoami(server, two.token())["username"] == "plain:7" and whoami(server, one.token(**jane))
    write(file, {**provider(one), "issuer": {}}, anonymous=ANONYMOUS)
    wait_until("the problems are told", lambda: "failed to validate authentication config" in server.log)
    assert "jwt[0].issuer.url: Required value" in server.log
    assert whoami(server, two.token()) and whoami(server, one.token(**jane)), "the old ones stay"
    write(file, provider(two), anonymous=ANONYMOUS)
    wait_until("the first provider is gone", lambda: whoami(server, one.token(**jane)) is None)
    assert whoami(server, two.token())
    metrics = server.request("GET", "/metrics").body.decode()
    counted = {line.partition("status=")[2]: line for line in metrics.splitlines() if line.startswith(RELOADS)}
    assert [key.split('"')[1] for key in sorted(counted)] == ["failure", "success"], counted
    assert [line.rpartition(" ")[2] for _, line in sorted(counted.items())] == ["1.0", "2.0"]


def test_a_file_that_is_wrong(tmp_path: Path) -> None:
    """The server says what is, and ends."""
    file = tmp_path / "authentication.json"
    write(file, {"issuer": {"url": "http://x", "audiences": []}})
    server = ApiServer(tmp_path / "data", "sqlite", f"--authentication-config={file}")
    server.launch()
    assert server.wait(120) == 1
    for problem in (
        'jwt[0].issuer.url: Invalid value: "http://x": URL scheme must be https',
        "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
        "jwt[0].claimMappings.username: Required value: claim or expression is required",
    ):
        assert f"--authentication-config: invalid authentication configuration: {problem}\n" in server.log
