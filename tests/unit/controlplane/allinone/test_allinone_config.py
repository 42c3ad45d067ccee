"""The one process's command line, and what follows from it for the API server and its certificate."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from apimachinery.kit.config import ConfigError
from controlplane.allinone.config import parse
from controlplane.allinone.wire import flags, prepare


def test_the_domain_reaches_the_issuer_and_the_certificate(tmp_path: Path) -> None:
    config = parse(["--data-dir", str(tmp_path), "--dns-domain", "lab.internal"])
    assert "--service-account-issuer=https://kubernetes.default.svc.lab.internal" in flags(config)
    prepare(config)
    certificate = x509.load_pem_x509_certificate((tmp_path / "pki/apiserver.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "kubernetes.default.svc.lab.internal" in names.get_values_for_type(x509.DNSName)


def test_the_domain_is_cluster_local_unless_said_otherwise(tmp_path: Path) -> None:
    issuer = "--service-account-issuer=https://kubernetes.default.svc.cluster.local"
    assert issuer in flags(parse(["--data-dir", str(tmp_path)]))


@pytest.mark.parametrize("domain", ["", ".", "a..b", "Lab", "-a", "a-", "under_score", "a" * 64, "https://x"])
def test_a_domain_that_is_none_is_told_with_the_other_problems(domain: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["--data-dir", "x", f"--dns-domain={domain}", "--service-cidr=nonsense"])
    assert "--dns-domain" in str(caught.value) and "--service-cidr" in str(caught.value)


def test_pod_addresses_of_one_family_or_two() -> None:
    one, two = (parse(["--data-dir", "x", *flags]) for flags in ([], ["--cluster-cidr=10.1.0.0/16,fd00:1::/48"]))
    assert (one.cluster_cidr, one.second_cluster_cidr) == ("10.244.0.0/16", "")
    assert (two.cluster_cidr, two.second_cluster_cidr) == ("10.1.0.0/16", "fd00:1::/48")
    with pytest.raises(ConfigError, match="--cluster-cidr"):
        parse(["--data-dir", "x", "--cluster-cidr=10.1.0.0/16,10.2.0.0/16"])
