"""The flags that name providers: --oidc-* one, --authentication-config a file of them
(pkg/kubeapiserver/options/authentication.go)."""

from __future__ import annotations

from collections.abc import Mapping as Members
from collections.abc import Sequence
from pathlib import Path

from apimachinery.kit.config import ConfigError
from apimachinery.kit.jwt import ALGORITHMS
from apimachinery.meta.paths import Path as Field
from apimachinery.meta.paths import forbidden
from controlplane.apiserver.authn.oidc.configuration import (
    Anonymous,
    AuthenticationConfiguration,
    AuthenticationFile,
    ClaimRule,
    Issuer,
    JWTAuthenticator,
    Mapping,
    Providers,
)
from controlplane.apiserver.authn.oidc.document import read
from controlplane.apiserver.authn.oidc.validation import validate
from controlplane.apiserver.flags import Flags

_INVALID = "invalid authentication configuration"
_FILE = "authentication-config"
_GATE, _CONDITIONS_GATE = "StructuredAuthenticationConfiguration", "AnonymousAuthConfigurableEndpoints"


def providers(flags: Flags, own_issuers: Sequence[str], gates: Members[str, bool]) -> tuple[Providers, Anonymous]:
    """What the flags say of providers, and who is let in without credentials. own_issuers: of service accounts.
    Problems are told, not raised."""
    usual = Anonymous(flags.is_on("anonymous-auth"))
    if not flags.text(_FILE):
        return Providers(_of_flags(flags, own_issuers), flags.words("oidc-signing-algs")), usual
    if not gates.get(_GATE, True):
        flags.problems.add(f"--{_FILE}", f"set --feature-gates={_GATE}=true to use authentication-config file")
    if flags.any_given("oidc-"):
        flags.problems.add(f"--{_FILE}", "authentication-config file and oidc-* flags are mutually exclusive")
    path, data, configuration = Path(flags.text(_FILE)), b"", AuthenticationConfiguration()
    try:
        data = path.read_bytes()
        configuration = read(data)
    except (OSError, ConfigError) as error:
        told = error.problems if isinstance(error, ConfigError) else [f"open {path}: {(error.strerror or '').lower()}"]
        where = f'failed to load authentication configuration from file "{path}"'
        for each in told:
            flags.problems.add(f"--{_FILE}", f"{where}: {each}")
    anonymous = configuration.anonymous
    if anonymous is not None and flags.any_given("anonymous-auth"):
        detail = "--anonymous-auth flag cannot be set when anonymous field is configured in authentication "
        flags.problems.add(f"--{_FILE}", str(forbidden(Field("anonymous"), f"{detail}configuration file")))
    for problem in validate(configuration, own_issuers, conditions=gates.get(_CONDITIONS_GATE, True)):
        flags.problems.add(f"--{_FILE}", f"{_INVALID}: {problem}")
    file = AuthenticationFile(path, data, anonymous, tuple(own_issuers))
    return Providers(configuration.jwt, ALGORITHMS, file), usual if anonymous is None else anonymous


def _of_flags(flags: Flags, own_issuers: Sequence[str]) -> tuple[JWTAuthenticator, ...]:
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
        claim_rules=tuple(ClaimRule(name, value) for name, value in sorted(required.items())),
    )
    for problem in validate(AuthenticationConfiguration((found,)), own_issuers):
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
