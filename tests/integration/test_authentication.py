"""Who asks: certificates that hold and that do not, tokens of every kind, signing requests, impersonation."""

from __future__ import annotations

import base64
import contextlib
import datetime
import ssl
import tempfile
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from apimachinery.client.config import load_kubeconfig
from apimachinery.kit import certs
from apimachinery.kit.jwt import decode, key_id
from tests.integration.process import ControlPlane, wait_until

REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
GROUP = "system:bootstrappers:kubeadm:default-node-token"


def whoami(plane: ControlPlane, token: str) -> tuple[int, Any]:
    """The answer to a SelfSubjectReview with a bearer token: (code, userInfo or Status)."""
    headers = {"Authorization": f"Bearer {token}"}
    answer = plane.request("POST", REVIEWS, REVIEW, headers=headers, anonymous=True)
    return answer.code, answer.json["status"]["userInfo"] if answer.code == 201 else answer.json


def with_certificate(plane: ControlPlane, cert: bytes, key: bytes, headers: dict[str, str] | None = None) -> Any:
    """The same with a client certificate."""
    config = load_kubeconfig(plane.kubeconfig)
    context = ssl.create_default_context(cadata=(config.ca_data or b"").decode())
    with tempfile.TemporaryDirectory(prefix="kubelab-cert-") as directory:
        pair = Path(directory) / "pair.pem"
        pair.write_bytes(cert + key)
        context.load_cert_chain(pair)
    connection = HTTPSConnection("127.0.0.1", plane.port, context=context, timeout=60)
    with contextlib.closing(connection):
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request("POST", REVIEWS, orjson.dumps(REVIEW), sent)
        answer = connection.getresponse()
        return answer.status, orjson.loads(answer.read())


def secret(name: str, namespace: str, kind: str, data: dict[str, str], **metadata: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, **metadata}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": kind, "stringData": data}


def bootstrap_token(plane: ControlPlane, identity: str, **data: str) -> str:
    """Store a bootstrap token; returns it."""
    held = {
        "token-id": identity,
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": GROUP,
        **data,
    }
    plane.kubectl("delete", "secret", "-n", "kube-system", f"bootstrap-token-{identity}", "--ignore-not-found")
    made = secret(f"bootstrap-token-{identity}", "kube-system", "bootstrap.kubernetes.io/token", held)
    assert plane.request("POST", "/api/v1/namespaces/kube-system/secrets", made).code == 201
    return f"{identity}.0123456789abcdef"


def test_a_browsers_token(control_plane: ControlPlane, namespace: str) -> None:
    """A WebSocket's client that cannot set Authorization names its token as a subprotocol."""
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    wait_until("the account", lambda: control_plane.request("GET", f"{accounts}/default").code == 200)
    token = control_plane.request("POST", f"{accounts}/default/token", asked).json["status"]["token"]

    def told(*protocols: str, path: str = f"{accounts}?watch=true", **more: str) -> tuple[int, str]:
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Protocol": ", ".join(protocols)}
        headers |= {
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Origin": "https://page",
        } | more
        answer = control_plane.request("GET", path, headers=headers, anonymous=True)
        if answer.code == 101:
            return 101, answer.headers["sec-websocket-protocol"]
        return answer.code, answer.json["message"]

    def held(text: str) -> str:
        return "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    code, message = told(held(token), "mine")
    assert code == 403 and f'User "system:serviceaccount:{namespace}:default" cannot watch' in message
    for wrong in (
        (held(token),),
        (held(token), held(token), "mine"),
        (held("nobody's"), "mine"),
        (held(token) + "!", "mine"),
    ):
        assert told(*wrong) == (401, "Unauthorized")
    for nobody in ({"Upgrade": "SPDY/3.1"}, {"Connection": "keep-alive"}):
        code, message = told(held(token), "mine", **nobody)
        assert code == 403 and 'User "system:anonymous" cannot watch' in message
    control_plane.kubectl(
        "create", "rolebinding", "see", "--clusterrole=view", f"--serviceaccount={namespace}:default", "-n", namespace
    )
    wait_until("the right to watch", lambda: told(held(token), "mine") == (101, "mine"))


def test_a_bootstrap_token(control_plane: ControlPlane) -> None:
    token = bootstrap_token(control_plane, "abcdef")
    code, user = whoami(control_plane, token)
    assert (code, user["username"]) == (201, "system:bootstrap:abcdef")
    assert user["groups"] == ["system:bootstrappers", GROUP, "system:authenticated"]
    assert whoami(control_plane, "abcdef.ffffffffffffffff")[0] == 401
    told = whoami(control_plane, "nothing")[1]
    assert (told["reason"], told["message"]) == ("Unauthorized", "Unauthorized")
    other = bootstrap_token(control_plane, "aaaaaa", **{"usage-bootstrap-authentication": "false"})
    assert whoami(control_plane, other)[0] == 401
    admins = bootstrap_token(control_plane, "bbbbbb", **{"auth-extra-groups": "system:masters"})
    assert whoami(control_plane, admins)[0] == 401


def test_an_expired_bootstrap_token_is_cleaned_up(control_plane: ControlPlane) -> None:
    soon = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    token = bootstrap_token(control_plane, "cccccc", expiration=soon)
    wait_until("it has expired", lambda: whoami(control_plane, token)[0] == 401)
    path = "/api/v1/namespaces/kube-system/secrets/bootstrap-token-cccccc"
    wait_until("it is gone", lambda: control_plane.request("GET", path).code == 404)


def test_cluster_info_is_signed_and_open(control_plane: ControlPlane) -> None:
    bootstrap_token(control_plane, "dddddd")
    control_plane.kubectl("delete", "configmap", "cluster-info", "-n", "kube-public", "--ignore-not-found")
    argv = ("create", "configmap", "cluster-info", "-n", "kube-public", "--from-literal=kubeconfig=content")
    control_plane.kubectl(*argv)
    path = "/api/v1/namespaces/kube-public/configmaps/cluster-info"

    def signed() -> Any:
        return control_plane.request("GET", path, anonymous=True).json.get("data", {}).get("jws-kubeconfig-dddddd")

    head, middle, _ = wait_until("a signature", signed).split(".")
    assert (orjson.loads(decode(head)), middle) == ({"alg": "HS256", "kid": "dddddd"}, "")
    refused = control_plane.request("GET", "/api/v1/namespaces/kube-public/configmaps", anonymous=True)
    assert (
        refused.code == 403 and 'User "system:anonymous" cannot list resource "configmaps"' in refused.json["message"]
    )
    for open_path, code in (("/healthz", 200), ("/version", 200), ("/api", 403)):
        assert control_plane.request("GET", open_path, anonymous=True).code == code


@pytest.mark.parametrize("kind", ["foreign", "expired", "ours"])
def test_a_client_certificate(control_plane: ControlPlane, kind: str) -> None:
    pki = control_plane.directory / "pki"
    ours = certs.Authority.load(pki / "ca.crt", pki / "ca.key")
    # A foreign authority may well bear the name of ours.
    authority = certs.Authority.create("kubernetes") if kind == "foreign" else ours
    days = 0 if kind == "expired" else 1
    pair = authority.issue("bob", orgs=["devs"], client=True, days=days)
    code, told = with_certificate(control_plane, pair.cert_pem, pair.key_pem)
    if kind != "ours":
        assert (code, told["message"]) == (401, "Unauthorized")
        # A token that holds is not spoilt by a certificate that does not.
        token = control_plane.kubectl("create", "token", "default").stdout.strip()
        headers = {"Authorization": f"Bearer {token}"}
        assert with_certificate(control_plane, pair.cert_pem, pair.key_pem, headers)[0] == 201
        return
    user = told["status"]["userInfo"]
    assert (code, user["username"], user["groups"]) == (201, "bob", ["devs", "system:authenticated"])
    fingerprint = x509.load_pem_x509_certificate(pair.cert_pem).fingerprint(hashes.SHA256()).hex()
    assert user["extra"]["authentication.kubernetes.io/credential-id"] == [f"X509SHA256={fingerprint}"]


def test_a_token_kept_in_a_secret(control_plane: ControlPlane, namespace: str) -> None:
    about = {"kubernetes.io/service-account.name": "default"}
    made = secret("kept", namespace, "kubernetes.io/service-account-token", {}, annotations=about)
    path = f"/api/v1/namespaces/{namespace}/secrets"
    assert control_plane.request("POST", path, made).code == 201

    def data() -> Any:
        return control_plane.request("GET", f"{path}/kept").json.get("data")

    held = wait_until("a token", lambda: (data() or {}).get("token") and data())
    assert base64.b64decode(held["namespace"]).decode() == namespace and "ca.crt" in held
    token = base64.b64decode(held["token"]).decode()
    code, user = whoami(control_plane, token)
    assert (code, user["username"]) == (201, f"system:serviceaccount:{namespace}:default")
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    listed = {"secrets": [{"name": "kept"}, {"name": "another"}]}
    headers = {"Content-Type": "application/merge-patch+json"}
    bearer = {"Authorization": f"Bearer {token}"}
    pods = f"/api/v1/namespaces/{namespace}/pods"

    def warning(where: str) -> str | None:
        return control_plane.request("GET", where, headers=bearer, anonymous=True).headers.get("warning")

    assert warning("/api") is None
    assert control_plane.request("PATCH", account, listed, headers=headers).code == 200
    told = (
        '299 - "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated '
        'secret-based tokens."'
    )
    robot = f"--serviceaccount={namespace}:default"
    control_plane.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", robot, "-n", namespace)

    def seen() -> bool:
        return control_plane.request("GET", pods, headers=bearer, anonymous=True).code == 200

    wait_until("it may look", seen)
    begun = f"{pods}?watch=1&timeoutSeconds=1"
    assert {warning(where) for where in ("/api", pods, begun, path)} == {told}, "a list, a watch, a refusal"
    (label,) = control_plane.request("GET", f"{path}/kept").json["metadata"]["labels"].items()
    tracking = "/api/v1/namespaces/kube-system/configmaps/kube-apiserver-legacy-service-account-token-tracking"
    since = control_plane.request("GET", tracking).json["data"]["since"]
    assert label[0] == "kubernetes.io/legacy-token-last-used" and since <= label[1]
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    reviewed = control_plane.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", asked)
    assert reviewed.json["status"]["authenticated"] and reviewed.headers["warning"] == told
    control_plane.kubectl("delete", "secret", "kept", "-n", namespace)
    assert whoami(control_plane, token)[0] == 401

    def known() -> Any:
        return control_plane.request("GET", account).json.get("secrets")

    wait_until("the account no longer lists it", lambda: known() == [{"name": "another"}])
    orphan = secret("orphan", namespace, "kubernetes.io/service-account-token", {}, annotations={**about})
    orphan["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "nobody"}
    control_plane.request("POST", path, orphan)
    wait_until("the orphan goes", lambda: control_plane.request("GET", f"{path}/orphan").code == 404)


def test_token_reviews(control_plane: ControlPlane, namespace: str) -> None:
    def review(token: str, *audiences: str) -> Any:
        spec = {"token": token, "audiences": list(audiences)}
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        return control_plane.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", asked).json["status"]

    argv = ("create", "token", "default", "-n", namespace, "--audience=vault")
    token = control_plane.kubectl(*argv).stdout.strip()
    answer = review(token, "vault", "other")
    assert (answer["authenticated"], answer["audiences"]) == (True, ["vault"])
    assert answer["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    assert "is invalid for the target audiences" in review(token)["error"]
    assert whoami(control_plane, token)[0] == 401
    known = bootstrap_token(control_plane, "eeeeee")
    assert review(known)["user"]["username"] == "system:bootstrap:eeeeee"
    assert review(known, "vault") == {"user": {}} or not review(known, "vault").get("authenticated")


def test_keys_are_rotated_without_a_restart(control_plane: ControlPlane, namespace: str) -> None:
    def token() -> str:
        return control_plane.kubectl("create", "token", "default", "-n", namespace).stdout.strip()

    def named(text: str) -> str:
        return str(orjson.loads(decode(text.split(".")[0]))["kid"])

    def published() -> Any:
        answer = control_plane.request("GET", "/openid/v1/jwks")
        assert answer.headers["content-type"] == "application/jwk-set+json"
        return {named(old), key_id(key.public_key())} <= {each["kid"] for each in answer.json["keys"]}

    old, key, pki = token(), certs.new_key(), control_plane.directory / "pki"
    # As operators do: what one server signs with, all others must know before.
    (pki / "sa.pub").write_bytes((pki / "sa.pub").read_bytes() + certs.public_pem(key))
    wait_until("every server knows the new key", published, looks=2)
    (pki / "sa.key").write_bytes(certs.key_pem(key))
    new = wait_until(
        "tokens of the new key", lambda: (text := token()) and named(text) == key_id(key.public_key()) and text, looks=2
    )
    for _ in range(2):
        assert [whoami(control_plane, each)[0] for each in (old, new, token())] == [201, 201, 201]
    configuration = control_plane.request("GET", "/.well-known/openid-configuration").json
    assert configuration["jwks_uri"].endswith("/openid/v1/jwks") and configuration["response_types_supported"] == [
        "id_token"
    ]


def request(cn: str, *orgs: str) -> tuple[str, bytes]:
    """A PKCS #10 request as a CertificateSigningRequest holds it, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, cn)]
    names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, org) for org in orgs]
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode(), certs.key_pem(key)


def signing_request(name: str, signer: str, pem: str, *usages: str) -> dict[str, Any]:
    spec = {"signerName": f"kubernetes.io/{signer}", "request": pem, "usages": list(usages), "expirationSeconds": 3600}
    meta = {"name": name}
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": meta, "spec": spec}


REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


def test_an_approved_request_ends_in_a_certificate(control_plane: ControlPlane, namespace: str) -> None:
    pem, key = request("alice", "devs")
    asked = signing_request(f"alice-{namespace}", "kube-apiserver-client", pem, "client auth")
    assert control_plane.request("POST", REQUESTS, asked).code == 201
    listed = control_plane.kubectl("get", "csr", f"alice-{namespace}").stdout
    assert "Pending" in listed and "kubernetes.io/kube-apiserver-client" in listed
    said = control_plane.kubectl("certificate", "approve", f"alice-{namespace}").stdout
    assert said == f"certificatesigningrequest.certificates.k8s.io/alice-{namespace} approved\n"

    def issued() -> Any:
        return control_plane.get("csr", f"alice-{namespace}")["status"].get("certificate")

    cert = base64.b64decode(wait_until("a certificate", issued))
    assert "Approved,Issued" in control_plane.kubectl("get", "csr", f"alice-{namespace}").stdout
    code, told = with_certificate(control_plane, cert, key)
    assert (code, told["status"]["userInfo"]["username"]) == (201, "alice")
    parsed = x509.load_pem_x509_certificate(cert)
    assert (parsed.not_valid_after_utc - parsed.not_valid_before_utc).total_seconds() == 3600
    assert list(parsed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    approval = control_plane.get("csr", f"alice-{namespace}")["status"]["conditions"][0]
    assert approval["reason"] == "KubectlApprove" and approval["lastUpdateTime"] and approval["lastTransitionTime"]


def test_refused_requests(control_plane: ControlPlane, namespace: str) -> None:
    pem, _ = request("bob")
    name = f"bob-{namespace}"
    control_plane.request("POST", REQUESTS, signing_request(name, "kube-apiserver-client", pem, "client auth"))
    control_plane.kubectl("certificate", "deny", name)
    assert "Denied" in control_plane.kubectl("get", "csr", name).stdout
    both = control_plane.kubectl("certificate", "approve", name, check=False)
    assert "Approved and Denied conditions are mutually exclusive" in both.stderr or both.returncode != 0
    wrong = signing_request(f"{name}-2", "kube-apiserver-client", pem, "client auth", "code signing")
    control_plane.request("POST", REQUESTS, wrong)
    control_plane.kubectl("certificate", "approve", f"{name}-2")
    wait_until("it fails", lambda: "Approved,Failed" in control_plane.kubectl("get", "csr", f"{name}-2").stdout)
    failed = control_plane.get("csr", f"{name}-2")["status"]["conditions"][-1]
    assert (failed["type"], failed["reason"], failed["message"]) == (
        "Failed",
        "SignerValidationFailure",
        "invalid usage for client certificate: code signing",
    )


def test_a_machine_joins_with_a_bootstrap_token(control_plane: ControlPlane, namespace: str) -> None:
    token = bootstrap_token(control_plane, "ffffff")
    pem, key = request(f"system:node:{namespace}", "system:nodes")
    asked = signing_request(
        f"node-{namespace}", "kube-apiserver-client-kubelet", pem, "digital signature", "client auth"
    )
    headers = {"Authorization": f"Bearer {token}"}
    made = control_plane.request("POST", REQUESTS, asked, headers=headers, anonymous=True)
    assert made.code == 201 and made.json["spec"]["username"] == "system:bootstrap:ffffff"
    path = f"{REQUESTS}/node-{namespace}"

    def status() -> Any:
        return control_plane.request("GET", path, headers=headers, anonymous=True).json.get("status", {})

    cert = base64.b64decode(wait_until("a certificate", lambda: status().get("certificate")))
    assert status()["conditions"][0]["message"] == (
        "Auto approving kubelet client certificate after SubjectAccessReview."
    )
    code, told = with_certificate(control_plane, cert, key)
    assert (code, told["status"]["userInfo"]["username"]) == (201, f"system:node:{namespace}")


def test_a_front_proxy_names_the_user(control_plane: ControlPlane) -> None:
    pki = control_plane.directory / "pki"
    cert, key = ((pki / f"front-proxy-client.{part}").read_bytes() for part in ("crt", "key"))
    code, told = with_certificate(control_plane, cert, key, {"X-Remote-User": "jane", "X-Remote-Group": "devs"})
    assert code == 201, told
    assert told["status"]["userInfo"] == {"username": "jane", "groups": ["devs", "system:authenticated"]}
    assert with_certificate(control_plane, cert, key)[0] == 401, "its authority names no clients"


def test_impersonation(control_plane: ControlPlane, namespace: str) -> None:
    def ask(**headers: str) -> Any:
        sent = {f"Impersonate-{key.replace('_', '-')}": value for key, value in headers.items()}
        return control_plane.request("POST", REVIEWS, REVIEW, headers=sent)

    user = ask(User="bob", Uid="7", Extra_Scopes="a").json["status"]["userInfo"]
    assert user == {"username": "bob", "uid": "7", "groups": ["system:authenticated"], "extra": {"scopes": ["a"]}}
    account = ask(User=f"system:serviceaccount:{namespace}:default").json["status"]["userInfo"]
    assert account["groups"] == [
        "system:serviceaccounts",
        f"system:serviceaccounts:{namespace}",
        "system:authenticated",
    ]
    assert ask(User="system:anonymous").code == 403  # nobody's reviews
    token = control_plane.kubectl("create", "token", "default", "-n", namespace).stdout.strip()
    sent = {"Authorization": f"Bearer {token}", "Impersonate-User": "bob"}
    refused = control_plane.request("POST", REVIEWS, REVIEW, headers=sent, anonymous=True)
    assert refused.json["message"] == (
        f'users "bob" is forbidden: User "system:serviceaccount:{namespace}:default" cannot impersonate resource '
        '"users" in API group "" at the cluster scope'
    )
    assert ask(Group="devs").code == 400


def test_a_review_that_asks_nothing(control_plane: ControlPlane) -> None:
    """Without its kind, as upstream."""
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    refused = control_plane.request("POST", reviews, {"kind": "SelfSubjectAccessReview"})
    assert (refused.code, refused.json["message"].partition("spec")[0]) == (
        422,
        '.authorization.k8s.io "" is invalid: ',
    )


def test_a_review_has_no_table(control_plane: ControlPlane) -> None:
    """The conformance suite asks for it (Servers with support for Table transformation)."""
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    refused = control_plane.request("POST", REVIEWS, REVIEW, headers={"Accept": table})
    assert (refused.code, refused.json["reason"]) == (406, "NotAcceptable"), refused.body
    assert control_plane.request("POST", REVIEWS, REVIEW, headers={"Accept": f"{table},application/json"}).code == 201
