"""The flags --oidc-*, which name one provider (pkg/kubeapiserver/options/authentication.go)."""

from __future__ import annotations

from collections.abc import Sequence

from apimachinery.kit.jwt import ALGORITHMS
from controlplane.apiserver.authn.oidc.configuration import ClaimRule, Issuer, JWTAuthenticator, Mapping
from controlplane.apiserver.authn.oidc.validation import validate
from controlplane.apiserver.flags import Flags

_INVALID = "invalid authentication configuration"


def provider(flags: Flags, own_issuers: Sequence[str]) -> tuple[JWTAuthenticator, ...]:
    """The provider that the flags name, if any. own_issuers: of service accounts. Problems are told, not raised."""
    problems, url, client = flags.problems, flags.text("oidc-issuer-url"), flags.text("oidc-client-id")
    if not url or not client:
        told = "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
        problems.add("--oidc-issuer-url", told)
        return ()
    file = flags.file("oidc-ca-file")
    try:
        authority = file.read_text() if file is not None and file.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        problems.add("--oidc-ca-file", str(error))
        authority = ""
    claim, groups = flags.text("oidc-username-claim"), flags.text("oidc-groups-claim")
    required = flags.pair_each("oidc-required-claim")
    found = JWTAuthenticator(
        Issuer(url, (client,), certificate_authority=authority),
        Mapping(claim, username_prefix(flags.text("oidc-username-prefix"), claim, url)),
        Mapping(groups, flags.text("oidc-groups-prefix")) if groups else Mapping(),
        tuple(ClaimRule(name, value) for name, value in sorted(required.items())),
    )
    for problem in validate((found,), own_issuers):
        problems.add("--oidc-issuer-url", f"{_INVALID}: {problem}")
    if file is not None and file.is_file() and not authority:
        problems.add("--oidc-ca-file", "data does not contain any valid RSA or ECDSA certificates")
    for word in flags.words("oidc-signing-algs"):
        if word not in ALGORITHMS:
            problems.add("--oidc-signing-algs", f'oidc: unsupported signing alg: "{word}"')
    return (found,)


def username_prefix(given: str, claim: str, url: str) -> str:
    """What is put before every name. The default keeps names of a provider apart from all others, but for addresses;
    "-" asks for none."""
    if given == "-":
        return ""
    return given or ("" if claim == "email" else f"{url}#")
