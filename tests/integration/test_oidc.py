"""Who logs in with an OpenID Connect provider: a real HTTPS one beside the API server, tokens as kubectl sends them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from apimachinery.client.config import load_kubeconfig
from tests.integration.apiservers import ApiServer
from tests.integration.process import wait_until
from tests.openid import Key, OpenIDProvider

REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
TOKEN_REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


def whoami(server: ApiServer, token: str) -> Any:
    """The userInfo that a SelfSubjectReview with the token shows; None when it is refused with 401."""
    answer = server.request("POST", REVIEWS, REVIEW, headers={"Authorization": f"Bearer {token}"}, anonymous=True)
    assert answer.code in (201, 401), answer.json
    return answer.json["status"]["userInfo"] if answer.code == 201 else None


def review(server: ApiServer, token: str) -> Any:
    """The status of a TokenReview, which says why a token is refused."""
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    return server.request("POST", TOKEN_REVIEWS, asked).json["status"]


def without_credentials(server: ApiServer, path: Path) -> Path:
    """A kubeconfig that names the server and its authority alone: a certificate would count before a token."""
    authority = load_kubeconfig(server.kubeconfig).ca_data
    assert authority is not None
    (path.parent / "authority.crt").write_bytes(authority)
    cluster = {
        "server": f"https://127.0.0.1:{server.port}",
        "certificate-authority": str(path.parent / "authority.crt"),
    }
    context = {"cluster": "lab", "user": "nobody"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "lab", "context": context}],
        "current-context": "lab",
    }
    path.write_bytes(orjson.dumps(document))
    return path


@pytest.fixture
def provider(tmp_path: Path) -> OpenIDProvider:
    return OpenIDProvider(tmp_path, Key("RS256", "one"), Key("ES256", "two"))


@pytest.fixture
def server(provider: OpenIDProvider, tmp_path: Path) -> Iterator[ApiServer]:
    found = ApiServer(
        tmp_path / "data",
        "sqlite",
        "--authorization-mode=Node,RBAC",
        f"--oidc-issuer-url={provider.url}",
        "--oidc-client-id=kubernetes",
        f"--oidc-ca-file={provider.authority}",
        "--oidc-username-claim=email",
        "--oidc-username-prefix=oidc:",
        "--oidc-groups-claim=groups",
        "--oidc-groups-prefix=oidc:",
        "--oidc-required-claim=hd=example.org",
        "--oidc-signing-algs=RS256,ES256",
    )
    found.start()
    yield found
    found.stop()


def test_a_login(server: ApiServer, provider: OpenIDProvider, tmp_path: Path) -> None:
    jane = {"email": "jane@example.org", "hd": "example.org", "groups": ["devs"], "jti": "42"}
    refused = review(server, provider.token(**jane))
    told = "[invalid bearer token, oidc: authenticator not initialized]"
    assert refused == {"authenticated": False, "user": {}, "error": told}, "away"
    with provider.serving():
        wait_until("the provider is found", lambda: whoami(server, provider.token(**jane)))
        assert whoami(server, provider.token(**jane)) == {
            "username": "oidc:jane@example.org",
            "groups": ["oidc:devs", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": ["JTI=42"]},
        }
        token = provider.keys[1].sign(provider.claims(**jane, aud=["kubernetes", "else"]))
        kubeconfig = str(without_credentials(server, tmp_path / "kubeconfig"))

        def kubectl(*argv: str, check: bool = True) -> Any:
            words = ("--token", token, *argv)
            return server.kubectl(*words, environment={"KUBECONFIG": kubeconfig}, check=check)

        shown = kubectl("auth", "whoami").stdout
        assert "Username" in shown and "oidc:jane@example.org" in shown and "[oidc:devs system:authenticated]" in shown
        forbidden = kubectl("get", "pods", check=False)
        assert 'User "oidc:jane@example.org" cannot list resource "pods"' in forbidden.stderr
        server.kubectl("create", "clusterrolebinding", "devs", "--clusterrole=view", "--group=oidc:devs")
        wait_until("the binding counts", lambda: kubectl("get", "pods", check=False).returncode == 0)

        assert whoami(server, provider.token(email="joe@example.org", hd="else")) is None
        assert review(server, provider.token(**jane, exp=1))["error"] == (
            "[invalid bearer token, oidc: verify token: oidc: token is expired "
            "(Token Expiry: 1970-01-01 00:00:01 +0000 UTC)]"
        )
        assert review(server, "anything")["error"] == "invalid bearer token"
        assert provider.asked.count("/keys") == 1
        new = Key("RS256", "three")
        provider.keys.append(new)
        assert whoami(server, new.sign(provider.claims(**jane))), "a key that is new"
        assert provider.asked.count("/keys") == 2
    token = provider.token(**jane)
    assert whoami(server, token), "the provider is away again, and its keys are known"
    metrics = server.request("GET", "/metrics").body.decode()
    assert 'jwt_authenticator_latency_seconds_count{jwt_issuer_hash="sha256:' in metrics
