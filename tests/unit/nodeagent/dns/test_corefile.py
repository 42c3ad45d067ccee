from pathlib import Path

import pytest

from apimachinery.kit.config import ConfigError
from nodeagent.dns.corefile import Forward, Kubernetes, parse

KUBEADM = """
.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
"""


def test_kubeadms_file(tmp_path: Path) -> None:
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("search x\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n")
    parsed = parse(KUBEADM, resolv)
    assert parsed.kubernetes == Kubernetes((("cluster", "local"),), 30, True, True)
    assert parsed.forwards == (Forward((), (("192.0.2.53", 53), ("192.0.2.54", 53)), 1000),)
    assert (parsed.port, parsed.cache) == (53, 30)
    assert (parsed.health, parsed.ready, parsed.prometheus) == (8080, 8181, 9153)


def test_a_stub_domain_comes_before_the_root() -> None:
    parsed = parse(".:53 {\n forward . 192.0.2.1\n}\nexample.test:53 {\n forward . 192.0.2.2:5353\n}\n")
    assert parsed.forwards == (
        Forward(("example", "test"), (("192.0.2.2", 5353),)),
        Forward((), (("192.0.2.1", 53),)),
    )


def test_every_problem_with_its_line() -> None:
    text = (
        ".:53 {\n    kubernetes cluster.local {\n        ttl soon\n        magic\n    }\n    autopath\n    forward .\n"
    )
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert raised.value.problems == [
        "Corefile: the last '}' is missing",
        "Corefile:3: 'soon' is not a number up to 3600",
        "Corefile:4: unknown property 'magic'",
        "Corefile:6: unknown directive 'autopath'",
        "Corefile:7: forward needs a zone and at least one server",
    ]


def test_an_empty_file() -> None:
    with pytest.raises(ConfigError, match="no server block"):
        parse("# nothing\n")
