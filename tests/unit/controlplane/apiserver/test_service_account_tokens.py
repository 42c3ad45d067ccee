"""What a service account's token is bound to must be there still."""

import base64
import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from apimachinery.kit.clock import ManualClock
from apimachinery.kit.jwt import Signer, key_id
from apimachinery.meta import times
from controlplane.apiserver.authn.reloading import Reloading
from controlplane.apiserver.authn.service_accounts import ServiceAccountAuthenticator
from controlplane.apiserver.authn.tokens import LEGACY_ISSUER, TokenError, Verifier

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SECONDS = int(NOW.timestamp())
KEY = ec.generate_private_key(ec.SECP256R1())


def ago(seconds):
    return {"deletionTimestamp": times.rfc3339(NOW - datetime.timedelta(seconds=seconds))}


async def refusal(claims, metadata, objects=()):
    """Why the token is refused, None when it is not. metadata: changes of the account's (None: there is none)."""
    token = Signer(KEY).sign(claims)
    store = {key: {"metadata": {"uid": "1", **meta}} for key, meta in dict(objects).items()}
    if metadata is not None:
        store["serviceaccounts", "a", "robot"] = {"metadata": {"uid": "1", **metadata}}
    if (secret := store.get(("secrets", "a", "kept"))) is not None:
        secret["data"] = {"token": base64.b64encode(token.encode()).decode()}

    async def lookup(plural, namespace, name):
        return store.get((plural, namespace, name))

    keys = {key_id(KEY.public_key()): KEY.public_key()}
    verifier = Verifier(Reloading("keys", [], lambda: keys), ["https://us"], ["https://us"])
    try:
        await ServiceAccountAuthenticator(verifier, lookup, ManualClock(NOW)).authenticate(token)
    except TokenError as error:
        return str(error)
    return None


GONE = "service account token has been invalidated"


@pytest.mark.parametrize(
    ("bound", "account", "objects", "why"),
    [
        ({}, {}, {}, None),
        ({}, None, {}, 'serviceaccounts "robot" not found'),
        ({}, {"uid": "2"}, {}, "service account UID (2) does not match claim (1)"),
        ({}, ago(60), {}, None),
        ({}, ago(61), {}, "service account a/robot has been deleted"),
        ({"pod": "p"}, {}, {("pods", "a", "p"): {}}, None),
        ({"pod": "p"}, {}, {}, GONE),
        ({"pod": "p"}, {}, {("pods", "a", "p"): ago(61)}, GONE),
        (
            {"pod": "p"},
            {},
            {("pods", "a", "p"): {"uid": "2"}},
            "pod UID (2) does not match service account pod ref claim (1)",
        ),
        ({"secret": "s"}, {}, {}, GONE),
        (
            {"secret": "s"},
            {},
            {("secrets", "a", "s"): {"uid": "2"}},
            "secret UID (2) does not match service account secret ref claim (1)",
        ),
        ({"node": "n"}, {}, {}, GONE),
        (
            {"node": "n"},
            {},
            {("nodes", "", "n"): {"uid": "2"}},
            "node UID (2) does not match service account node ref claim (1)",
        ),
        ({"node": "n", "pod": "p"}, {}, {("pods", "a", "p"): {}}, None),
    ],
)
async def test_bound_tokens(bound, account, objects, why):
    references = {kind: {"name": name, "uid": "1"} for kind, name in {"serviceaccount": "robot", **bound}.items()}
    claims = {
        "iss": "https://us",
        "aud": ["https://us"],
        "exp": SECONDS + 60,
        "sub": "system:serviceaccount:a:robot",
        "kubernetes.io": {"namespace": "a", **references},
    }
    assert await refusal(claims, account, objects) == why


@pytest.mark.parametrize(
    ("secret", "account", "why"),
    [
        ({}, {}, None),
        (None, {}, "Token has been invalidated"),
        (ago(1), {}, "Token has been invalidated"),
        ({}, None, 'serviceaccounts "robot" not found'),
        ({}, ago(1), "ServiceAccount a/robot has been deleted"),
        ({}, {"uid": "2"}, "ServiceAccount UID (2) does not match claim (1)"),
        (
            {"labels": {"kubernetes.io/legacy-token-invalid-since": "2025-01-01"}},
            {},
            "the token in secret a/kept for service account a/robot has been marked invalid. Use tokens from the "
            "TokenRequest API or manually created secret-based tokens, or remove the "
            "'kubernetes.io/legacy-token-invalid-since' label from the secret to temporarily allow use of this token",
        ),
    ],
)
async def test_tokens_that_are_kept(secret, account, why):
    prefix = "kubernetes.io/serviceaccount"
    claims = {
        "iss": LEGACY_ISSUER,
        "sub": "system:serviceaccount:a:robot",
        f"{prefix}/namespace": "a",
        f"{prefix}/secret.name": "kept",
        f"{prefix}/service-account.name": "robot",
        f"{prefix}/service-account.uid": "1",
    }
    objects = {} if secret is None else {("secrets", "a", "kept"): secret}
    assert await refusal(claims, account, objects) == why
