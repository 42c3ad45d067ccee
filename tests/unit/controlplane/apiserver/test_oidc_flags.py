"""The flags --oidc-*: what they mean, and every problem with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from apimachinery.kit.certs import Authority
from apimachinery.kit.config import ConfigError
from apimachinery.kit.jwt import ALGORITHMS
from controlplane.apiserver.authn.oidc.configuration import ClaimRule, Issuer, Mapping
from controlplane.apiserver.authn.oidc.from_flags import username_prefix
from controlplane.apiserver.config import Config, parse

URL = "https://issuer.example"


@pytest.fixture
def needed(tmp_path: Path) -> list[str]:
    pem = tmp_path / "pem"
    pem.write_text("pem")
    names = ("tls-cert-file", "tls-private-key-file", "service-account-key-file", "service-account-signing-key-file")
    return [*(f"--{name}={pem}" for name in names), "--storage-sqlite=x", "--service-account-issuer=https://us"]


def test_nothing_without_a_flag(needed: list[str]) -> None:
    assert parse(needed).providers is None


def test_a_provider(needed: list[str], tmp_path: Path) -> None:
    authority = tmp_path / "ca"
    authority.write_bytes(Authority.create("providers").pair.cert_pem)
    config: Config = parse(
        [
            *needed,
            f"--oidc-issuer-url={URL}",
            "--oidc-client-id=kubernetes",
            f"--oidc-ca-file={authority}",
            "--oidc-groups-claim=roles",
            "--oidc-groups-prefix=oidc:",
            "--oidc-required-claim=hd=a=b,c",
            "--oidc-required-claim",
            "amr=mfa",
            "--oidc-signing-algs=ES256,PS512",
        ]
    )
    assert config.providers is not None
    (found,) = config.providers.jwt
    assert found.issuer == Issuer(URL, ("kubernetes",), certificate_authority=authority.read_text())
    assert (found.username, found.groups) == (Mapping("sub", f"{URL}#"), Mapping("roles", "oidc:"))
    assert found.claim_rules == (ClaimRule("amr", "mfa"), ClaimRule("hd", "a=b,c"))
    assert config.providers.algorithms == ("ES256", "PS512")


@pytest.mark.parametrize(
    ("given", "claim", "prefix"),
    [("", "sub", f"{URL}#"), ("", "email", ""), ("-", "sub", ""), ("-", "email", ""), ("x:", "email", "x:")],
)
def test_the_prefix_of_names(given: str, claim: str, prefix: str) -> None:
    assert username_prefix(given, claim, URL) == prefix


def test_issuer_and_client_come_together(needed: list[str]) -> None:
    told = "oidc-issuer-url and oidc-client-id must be specified together when any oidc-\\* flags are set"
    for flags in ([f"--oidc-issuer-url={URL}"], ["--oidc-client-id=x"], ["--oidc-username-claim=sub"]):
        with pytest.raises(ConfigError, match=told):
            parse([*needed, *flags])


def test_every_problem_at_once(needed: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse(
            [
                *needed,
                "--oidc-issuer-url=http://u:p@issuer.example?a=b#c",
                "--oidc-client-id=x",
                f"--oidc-ca-file={tmp_path / 'pem'}",
                "--oidc-username-claim=",
                "--oidc-signing-algs=RS256,HS256",
                "--oidc-required-claim=hd",
            ]
        )
    about, url = "invalid authentication configuration: jwt[0]", '"http://u:p@issuer.example?a=b#c"'
    assert [each.partition(": ")[2] for each in wrong.value.problems] == [
        'invalid argument "hd" for "--oidc-required-claim" flag: malformed pair, expect string=string',
        f"{about}.issuer.url: Invalid value: {url}: URL scheme must be https",
        f"{about}.issuer.url: Invalid value: {url}: URL must not contain a username or password",
        f"{about}.issuer.url: Invalid value: {url}: URL must not contain a query",
        f"{about}.issuer.url: Invalid value: {url}: URL must not contain a fragment",
        f'{about}.issuer.certificateAuthority: Invalid value: "<omitted>": data does not contain any valid RSA or '
        "ECDSA certificates",
        f"{about}.claimMappings.username: Required value: claim or expression is required",
        'oidc: unsupported signing alg: "HS256"',
    ]


FILE = """
apiVersion: apiserver.config.k8s.io/v1beta1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: https://issuer.example, audiences: [kubernetes]}
  claimMappings: {username: {claim: sub, prefix: ""}}
"""
ANONYMOUS = "anonymous: {enabled: true, conditions: [{path: /livez}]}\n"


def test_a_file_of_providers(needed: list[str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(FILE)
    config = parse([*needed, f"--authentication-config={file}", "--anonymous-auth=false"])
    assert config.providers is not None and config.providers.file is not None
    assert [each.issuer for each in config.providers.jwt] == [Issuer(URL, ("kubernetes",))]
    assert config.providers.algorithms == ALGORITHMS and config.providers.file.data == FILE.encode()
    assert (config.anonymous_auth, config.anonymous_paths) == (False, ())
    file.write_text(FILE + ANONYMOUS)
    config = parse([*needed, f"--authentication-config={file}"])
    assert (config.anonymous_auth, config.anonymous_paths) == (True, ("/livez",))


def test_problems_of_a_file(needed: list[str], tmp_path: Path) -> None:
    def told(text: str | None, *flags: str) -> list[str]:
        file = tmp_path / "file"
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        with pytest.raises(ConfigError) as wrong:
            parse([*needed, f"--authentication-config={file}", *flags])
        return [each.removeprefix("--authentication-config: ") for each in wrong.value.problems]

    where = f'failed to load authentication configuration from file "{tmp_path / "file"}"'
    assert told(None) == [f"{where}: open {tmp_path / 'file'}: no such file or directory"]
    assert told("") == [f"{where}: empty config data"]
    assert told(FILE, "--oidc-client-id=x") == ["authentication-config file and oidc-* flags are mutually exclusive"]
    assert told(FILE + ANONYMOUS, "--anonymous-auth") == [
        "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in "
        "authentication configuration file"
    ]
    gates = "--feature-gates=StructuredAuthenticationConfiguration=false,AnonymousAuthConfigurableEndpoints=false"
    assert told(FILE + ANONYMOUS, gates) == [
        "set --feature-gates=StructuredAuthenticationConfiguration=true to use authentication-config file",
        "invalid authentication configuration: anonymous: Forbidden: anonymous is not supported when "
        "AnonymousAuthConfigurableEnpoints feature gate is disabled",
    ]
    assert told(FILE.replace("https", "http").replace("sub", "")) == [
        'invalid authentication configuration: jwt[0].issuer.url: Invalid value: "http://issuer.example": URL scheme '
        "must be https",
        "invalid authentication configuration: jwt[0].claimMappings.username: Required value: claim or expression is "
        "required",
    ]


def test_the_servers_own_issuer_is_no_provider(needed: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"URL must not overlap with disallowed issuers: \[https://us\]"):
        parse([*needed, "--oidc-issuer-url=https://us", "--oidc-client-id=x"])
    with pytest.raises(ConfigError, match="no such file"):
        parse([*needed, f"--oidc-issuer-url={URL}", "--oidc-client-id=x", "--oidc-ca-file=/nowhere"])
