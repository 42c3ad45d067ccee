"""Bearer tokens that are no service account's, and files that are read again."""

import base64
import datetime

import pytest

from apimachinery.kit.clock import ManualClock
from controlplane.apiserver.authn import token_file
from controlplane.apiserver.authn.bootstrap_tokens import BootstrapTokenAuthenticator, extra_groups
from controlplane.apiserver.authn.reloading import Reloading
from controlplane.apiserver.authn.token_authenticators import TokenAuthenticators
from controlplane.apiserver.authn.token_file import TokenFileAuthenticator
from controlplane.apiserver.authn.tokens import TokenError
from controlplane.apiserver.authn.user import User

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
TOKEN = "abcdef.0123456789abcdef"


def authenticator(**changes):
    metadata = changes.pop("metadata", {})
    kind = changes.pop("type", "bootstrap.kubernetes.io/token")
    data = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"}
    data = {key.replace("_", "-"): value for key, value in {**data, **changes}.items()}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}

    async def lookup(plural, namespace, name):
        assert (plural, namespace) == ("secrets", "kube-system")
        return {"metadata": metadata, "type": kind, "data": encoded} if name == "bootstrap-token-abcdef" else None

    return BootstrapTokenAuthenticator(lookup, ["api"], ManualClock(NOW))


@pytest.mark.parametrize(
    ("changes", "token", "known"),
    [
        ({}, TOKEN, True),
        ({}, "abcdef.0123456789abcdee", False),
        ({}, "ABCDEF.0123456789abcdef", False),
        ({}, "ghijkl.0123456789abcdef", False),
        ({"type": "Opaque"}, TOKEN, False),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, TOKEN, False),
        ({"expiration": "2026-01-01T00:00:01Z"}, TOKEN, True),
        ({"expiration": "2026-01-01T00:00:00Z"}, TOKEN, False),
        ({"expiration": "tomorrow"}, TOKEN, False),
        ({"token_id": "other1"}, TOKEN, False),
        ({"usage_bootstrap_authentication": "yes"}, TOKEN, False),
        ({"auth_extra_groups": "system:masters"}, TOKEN, False),
    ],
)
async def test_which_bootstrap_tokens_are_known(changes, token, known):
    found = await authenticator(**changes).authenticate(token)
    assert (found is not None) is known
    if found:
        assert found[0].name == "system:bootstrap:abcdef" and found[1] == ["api"]


def test_extra_groups():
    assert extra_groups("") == ("system:bootstrappers",)
    assert extra_groups("system:bootstrappers:b, system:bootstrappers:a:1") == (
        "system:bootstrappers",
        "system:bootstrappers:a:1",
        "system:bootstrappers:b",
    )
    assert extra_groups("system:bootstrappers:a-") is None and extra_groups("system:bootstrappers:") is None


async def test_a_token_is_meant_for_the_server_unless_it_says_otherwise():
    assert await authenticator().authenticate(TOKEN, ["vault"]) is None
    assert (await authenticator().authenticate(TOKEN, ["vault", "api"]))[1] == ["api"]


class _Answering:
    def __init__(self, answer):
        self._answer = answer

    async def authenticate(self, token, audiences=()):
        if isinstance(self._answer, str):
            raise TokenError(self._answer)
        return self._answer


@pytest.mark.parametrize(
    ("answers", "error"),
    [([None, None], None), (["a", None], "a"), (["a", "b"], "[a, b]"), (["a", "b", "a"], "[a, b]"), (["a", "a"], "a")],
)
async def test_errors_of_several(answers, error):
    tokens = TokenAuthenticators([_Answering(each) for each in answers])
    if error is None:
        assert await tokens.authenticate("t") is None
    else:
        with pytest.raises(TokenError) as wrong:
            await tokens.authenticate("t")
        assert str(wrong.value) == error
    found = (User("jane"), ["api"])
    assert await TokenAuthenticators([*map(_Answering, answers), _Answering(found)]).authenticate("t") == found


async def test_the_token_file(tmp_path, caplog):
    path = tmp_path / "tokens.csv"
    path.write_text('t1,bob,7,"devs,ops"\n\nt2, alice ,8\n,eve,9\nt2,carol,10\n')
    tokens = TokenFileAuthenticator(token_file.load(path), ["api"])
    user = (await tokens.authenticate("t1"))[0]
    assert (user.name, user.uid, user.groups) == ("bob", "7", ("devs", "ops", "system:authenticated"))
    assert (await tokens.authenticate("t2"))[0].name == "carol"
    assert await tokens.authenticate("t3") is await tokens.authenticate("") is None
    assert caplog.messages == [
        f"empty token has been found in token file '{path}', record number '3'",
        f"duplicate token has been found in token file '{path}', record number '4'",
    ]
    for wrong in ("t,b\n", "# no comment\n"):
        path.write_text(wrong)
        with pytest.raises(ValueError, match="at least 3 columns"):
            token_file.load(path)


class Refusing:
    async def authenticate(self, token, audiences=()):
        raise TokenError("broken")


class Ignoring:
    async def authenticate(self, token, audiences=()):
        return None


async def test_a_refusal_counts_only_when_nobody_knows_the_token():
    both = TokenAuthenticators([Refusing(), authenticator()])
    assert await both.authenticate(TOKEN) is not None
    with pytest.raises(TokenError, match="broken"):
        await both.authenticate("other")
    assert await TokenAuthenticators([Ignoring()]).authenticate("other") is None


def test_changed_files_are_read_again(tmp_path):
    path, times = tmp_path / "f", iter(range(0, 100, 2))
    path.write_text("1")
    held = Reloading("numbers", [path], lambda: int(path.read_text()), monotonic=lambda: float(next(times)))
    assert held.value == 1
    path.write_text("22")
    assert held.value == 22
    path.write_text("not a number")
    assert held.value == 22
    path.unlink()
    assert held.value == 22
    path.write_text("3")
    assert held.value == 3
