"""Bootstrap tokens sign cluster-info; tokens in Secrets name their account."""

import base64
import datetime
import hashlib
import hmac

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from apimachinery.kit.jwt import Signer, decode
from controlplane.controllers.bootstrap_signer import plan_signatures, signature
from controlplane.controllers.serviceaccount_token import plan_secret

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SECRET = "0123456789abcdef"


def token(identity="abcdef", **data):
    held = {"token-id": identity, "token-secret": SECRET, "usage-bootstrap-signing": "true", **data}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in held.items()}
    return {"metadata": {"name": f"bootstrap-token-{identity}", "namespace": "kube-system"}, "data": encoded}


def config_map(**data):
    return {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "x", **data}}


def test_a_signature_is_verified_by_its_reader():
    head, middle, tail = signature("content", "abcdef", SECRET).split(".")
    assert (orjson.loads(decode(head)), middle) == ({"alg": "HS256", "kid": "abcdef"}, "")
    body = base64.urlsafe_b64encode(b"content").rstrip(b"=").decode()
    assert decode(tail) == hmac.digest(SECRET.encode(), f"{head}.{body}".encode(), hashlib.sha256)


@pytest.mark.parametrize(
    ("data", "signs"),
    [
        ({}, True),
        ({"usage-bootstrap-signing": "false"}, False),
        ({"expiration": "2025-12-31T00:00:00Z"}, False),
        ({"expiration": "2026-12-31T00:00:00Z"}, True),
        ({"expiration": "soon"}, False),
        ({"token-secret": ""}, False),
    ],
)
def test_which_tokens_sign(data, signs):
    planned = plan_signatures(config_map(), [token(**data)], NOW)
    assert (planned is not None and "jws-kubeconfig-abcdef" in planned["data"]) is signs


def test_signatures_of_tokens_that_are_gone_go():
    signed = plan_signatures(config_map(**{"jws-kubeconfig-oldold": "s"}), [token()], NOW)
    assert sorted(signed["data"]) == ["jws-kubeconfig-abcdef", "kubeconfig"]
    assert plan_signatures(signed, [token()], NOW) is None
    assert plan_signatures({**signed, "data": {}}, [token()], NOW) is None


def test_a_token_secret_is_filled_in_once():
    signer = Signer(ec.generate_private_key(ec.SECP256R1()))
    account = {"metadata": {"name": "robot", "namespace": "a", "uid": "u"}}
    secret = {"metadata": {"name": "s", "namespace": "a"}, "type": "kubernetes.io/service-account-token"}
    filled = plan_secret(secret, account, signer, b"CA")
    claims = orjson.loads(decode(base64.b64decode(filled["data"]["token"]).decode().split(".")[1]))
    assert claims["iss"] == "kubernetes/serviceaccount" and claims["sub"] == "system:serviceaccount:a:robot"
    assert claims["kubernetes.io/serviceaccount/secret.name"] == "s"
    assert filled["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == "u"
    assert plan_secret(filled, account, signer, b"CA") is None
    other = {**filled, "data": {**filled["data"], "namespace": "Yg=="}}
    assert plan_secret(other, account, signer, b"CA") is None, "somebody's own namespace is his business"
