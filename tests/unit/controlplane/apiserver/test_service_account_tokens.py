"""What a service account's token is bound to must be there still."""

import base64
import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from apimachinery.kit.clock import ManualClock
from apimachinery.kit.jwt import Signer, key_id
from apimachinery.meta import times
from controlplane.apiserver.authn import remarks
from controlplane.apiserver.authn.issuer import keys_uri
from controlplane.apiserver.authn.legacy_tokens import INVALID_SINCE, LAST_USED
from controlplane.apiserver.authn.reloading import Reloading
from controlplane.apiserver.authn.service_accounts import ServiceAccountAuthenticator
from controlplane.apiserver.authn.tokens import LEGACY_ISSUER, TokenError, Verifier

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SECONDS = int(NOW.timestamp())
KEY = ec.generate_private_key(ec.SECP256R1())


def ago(seconds):
    return {"deletionTimestamp": times.rfc3339(NOW - datetime.timedelta(seconds=seconds))}


async def refusal(claims, metadata, objects=(), *, marked=None, **account):
    """Why the token is refused, None when it is not. metadata: changes of the account's (None: there is none); account:
    its other fields; marked: gets the labels that its Secret is given."""
    token = Signer(KEY).sign(claims)
    store = {key: {"metadata": {"uid": "1", **meta}} for key, meta in dict(objects).items()}
    if metadata is not None:
        store["serviceaccounts", "a", "robot"] = {"metadata": {"uid": "1", **metadata}, **account}
    if (secret := store.get(("secrets", "a", "kept"))) is not None:
        secret["data"] = {"token": base64.b64encode(token.encode()).decode()}

    async def lookup(plural, namespace, name):
        return store.get((plural, namespace, name))

    async def mark(secret, before):
        assert marked is not None and before is store["secrets", "a", "kept"]
        marked.append(secret["metadata"]["labels"])

    keys = {key_id(KEY.public_key()): KEY.public_key()}
    verifier = Verifier(Reloading("keys", [], lambda: keys), ["https://us"], ["https://us"])
    try:
        await ServiceAccountAuthenticator(verifier, lookup, mark, ManualClock(NOW)).authenticate(token)
    except TokenError as error:
        return str(error)
    return None


PREFIX = "kubernetes.io/serviceaccount"
KEPT = {
    "iss": LEGACY_ISSUER,
    "sub": "system:serviceaccount:a:robot",
    f"{PREFIX}/namespace": "a",
    f"{PREFIX}/secret.name": "kept",
    f"{PREFIX}/service-account.name": "robot",
    f"{PREFIX}/service-account.uid": "1",
}
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
        ({}, {"uid": "2", **ago(61)}, {}, "service account UID (2) does not match claim (1)"),
        (
            {"pod": "p"},
            {},
            {("pods", "a", "p"): {"uid": "2", **ago(61)}},
            "pod UID (2) does not match service account pod ref claim (1)",
        ),
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
    objects = {} if secret is None else {("secrets", "a", "kept"): secret}
    assert await refusal(KEPT, account, objects, marked=[]) == why


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ("sub", "sub claim is missing"),
        (f"{PREFIX}/namespace", "namespace claim is missing"),
        (f"{PREFIX}/secret.name", "secretName claim is missing"),
        (f"{PREFIX}/service-account.name", "serviceAccountName claim is missing"),
        (f"{PREFIX}/service-account.uid", "serviceAccountUID claim is missing"),
    ],
)
async def test_a_kept_token_says_everything(missing, why):
    assert await refusal({**KEPT, missing: ""}, {}, {("secrets", "a", "kept"): {}}) == why
    other = {**KEPT, "sub": "system:serviceaccount:b:robot"}
    assert await refusal(other, {}, {("secrets", "a", "kept"): {}}) == "sub claim is invalid"


@pytest.mark.parametrize(
    ("labels", "given"),
    [
        ({}, "2026-01-01"),
        ({LAST_USED: "2025-12-31"}, "2026-01-01"),
        ({LAST_USED: "2026-01-01"}, None),
        ({LAST_USED: "2026-01-02"}, None),
        ({LAST_USED: "2026-01-03"}, "2026-01-01"),
        ({INVALID_SINCE: "2025-12-31"}, "2026-01-01"),
    ],
)
async def test_when_a_kept_token_was_used_last(labels, given):
    marked = []
    await refusal(KEPT, {}, {("secrets", "a", "kept"): {"labels": labels}}, marked=marked)
    assert marked == ([] if given is None else [{**labels, LAST_USED: given}])


AUTOMATIC = (
    "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated "
    "secret-based tokens."
)


@pytest.mark.parametrize(
    ("listed", "labels", "warnings", "annotation"),
    [
        ([], {}, [], ("manual-secret", "kept")),
        ([{"name": "kept"}], {}, [AUTOMATIC], ("autogenerated-secret", "kept")),
        ([{"name": "kept"}], {INVALID_SINCE: "2025-12-31"}, [], ("invalidated", "kept/a")),
    ],
)
async def test_what_is_remarked_of_a_kept_token(listed, labels, warnings, annotation):
    said, (name, value) = remarks.begin(), annotation
    await refusal(KEPT, {}, {("secrets", "a", "kept"): {"labels": labels}}, marked=[], secrets=listed)
    assert said.warnings == warnings
    assert said.annotations == {f"authentication.k8s.io/legacy-token-{name}": value}


@pytest.mark.parametrize(("after", "told"), [(0, None), (1, None), (-5, "5"), (None, None)])
async def test_a_token_that_should_have_been_renewed(after, told):
    bound = {"namespace": "a", "serviceaccount": {"name": "robot", "uid": "1"}}
    if after is not None:
        bound["warnafter"] = SECONDS + after
    claims = {"iss": "https://us", "aud": ["https://us"], "exp": SECONDS + 60, "kubernetes.io": bound}
    said = remarks.begin()
    assert await refusal({**claims, "sub": "system:serviceaccount:a:robot"}, {}) is None
    stale = f"subject: system:serviceaccount:a:robot, seconds after warning threshold: {told}"
    assert said.annotations == ({"authentication.k8s.io/stale-token": stale} if told else {})


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("192.0.2.1", "https://192.0.2.1:6443/openid/v1/jwks"),
        ("api.example.com", "https://api.example.com:6443/openid/v1/jwks"),
        ("api.example.com:443", "https://api.example.com:443/openid/v1/jwks"),
        ("[2001:db8::1]:443", "https://[2001:db8::1]:443/openid/v1/jwks"),
        ("[2001:db8::1]", "https://[2001:db8::1]:6443/openid/v1/jwks"),
        ("2001:db8::1", "https://[2001:db8::1]:6443/openid/v1/jwks"),
    ],
)
def test_where_the_keys_are(host, told):
    assert keys_uri(host, 6443) == told
