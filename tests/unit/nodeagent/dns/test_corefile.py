import re
from pathlib import Path

import pytest

from apimachinery.kit.config import ConfigError
from nodeagent.dns.corefile import BadSyntax, Refused, parse
from nodeagent.dns.main import main
from nodeagent.dns.message import format_name
from nodeagent.dns.settings import Cache, Errors, Forward, Keep, Kubernetes, Prefetch, Reload

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
    parsed = parse(KUBEADM, resolv_conf=resolv)
    (block,) = parsed.blocks
    reverse = (("in-addr", "arpa"), ("ip6", "arpa"))
    assert block.kubernetes == Kubernetes((("cluster", "local"), *reverse), 30, "insecure", through=reverse)
    assert block.forwards == (Forward((), (("192.0.2.53", 53), ("192.0.2.54", 53)), 1000),)
    assert block.cache == Cache(
        success=Keep(most=30),
        denial=Keep(most=30),
        no_success=(("cluster", "local"),),
        no_denial=(("cluster", "local"),),
    )
    assert (block.zones, block.port) == (((),), 53)
    assert (block.errors, block.loop, block.loadbalance, block.log) == (Errors(), True, True, None)
    assert (parsed.health, parsed.ready, parsed.prometheus) == (8080, 8181, 9153)
    assert (parsed.lameduck, parsed.reload) == (5.0, Reload(30.0, 15.0))


def test_stub_domains_are_blocks_of_their_own() -> None:
    parsed = parse(
        ".:53 {\n forward . 192.0.2.1\n}\nexample.test:53, b.test:53 {\n forward . 192.0.2.2:5353 [2001:db8::1]:54\n}\n"
    )
    assert [block.zones for block in parsed.blocks] == [((),), (("example", "test"), ("b", "test"))]
    assert parsed.blocks[1].forwards == (Forward((), (("192.0.2.2", 5353), ("2001:db8::1", 54))),)


@pytest.mark.parametrize(
    ("word", "zones"),
    [
        pytest.param(".:53", ["."], id="root"),
        pytest.param("Example.org.:53", ["example.org."], id="name and port"),
        pytest.param("dns://example.org", ["example.org."], id="transport"),
        pytest.param("10.0.0.0/8:53", ["10.in-addr.arpa."], id="network and port"),
        pytest.param("10.0.0.0/15", ["0.10.in-addr.arpa.", "1.10.in-addr.arpa."], id="between octets"),
        pytest.param("10.9.3.0/23", ["2.9.10.in-addr.arpa.", "3.9.10.in-addr.arpa."], id="host bits"),
        pytest.param("0.0.0.0/0", ["in-addr.arpa."], id="every address"),
        pytest.param(
            "2001:db8::/30", [f"{digit}.b.d.0.1.0.0.2.ip6.arpa." for digit in "89ab"], id="IPv6 between digits"
        ),
        pytest.param("2001:db8::/32:53", ["8.b.d.0.1.0.0.2.ip6.arpa."], id="IPv6 and port"),
        pytest.param("x/24", ["x/24."], id="no network"),
    ],
)
def test_zones_may_be_networks(word: str, zones: list[str]) -> None:
    """With CoreDNS wherever a zone is named: rows of its own test."""
    text = f"{word} {{\n hosts /etc/hosts {word}\n}}\nother.test {{\n kubernetes cluster.local {word}\n}}\n"
    first, second = parse(text).blocks
    assert first.port == 53
    assert [format_name(zone) if zone else "." for zone in first.zones] == zones
    assert first.hosts is not None and first.hosts.zones == first.zones
    assert second.kubernetes is not None and second.kubernetes.zones[1:] == first.zones


def test_every_problem_with_its_line() -> None:
    text = (
        ".:53 {\n    kubernetes cluster.local {\n        ttl soon\n        magic\n    }\n    autopath\n    forward .\n"
        "    forwrd . 192.0.2.1\n    forward . dns.test\n    pods {\n    }\n}\n"
    )
    with pytest.raises(Refused) as raised:
        parse(text)
    where = "- Error during parsing"
    assert raised.value.problems == [
        'plugin/kubernetes: strconv.Atoi: parsing "soon": invalid syntax',
        f"plugin/kubernetes: Corefile:4 {where}: unknown property 'magic'",
        f"Corefile:6 {where}: plugin 'autopath' is not implemented here",
        f"plugin/forward: Corefile:7 {where}: Wrong argument count or unexpected line ending after 'forward'",
        f"Corefile:8 {where}: Unknown directive 'forwrd'",
        'plugin/forward: not an IP address or file: "dns.test"',
        f"Corefile:10 {where}: Unknown directive 'pods'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(". {\n}\n}\n", "no matching opening brace", id="a brace too many"),
        pytest.param("forward . 1.1.1.1\n", "must begin with its zones", id="no block"),
        pytest.param(". {\n cache {\n  prefetch 5 1m 95%\n }\n}\n", "not a number from 10 to 90", id="prefetch"),
        pytest.param(". {\n cache\n cache\n}\n", "only be used once", id="a plugin twice"),
        pytest.param(". {\n reload 1s\n}\n", "greater or equal to 2s", id="reload too often"),
        pytest.param(". {\n rewrite name regex ( x\n}\n", "error parsing regexp", id="a pattern"),
        pytest.param(". {\n rewrite name odd a b\n}\n", "received: odd", id="a kind of rewrite"),
        pytest.param(
            ". {\n kubernetes 10.0.0.0/8\n}\n",
            "plugin/kubernetes: non-reverse zone name must be used",
            id="reverse zones only",
        ),
        pytest.param(
            ". {\n kubernetes a.test {\n  ttl 3601\n }\n}\n",
            "plugin/kubernetes: Corefile:3 - Error during parsing: ttl must be in range [0, 3600]: 3601",
            id="a life",
        ),
        pytest.param(
            ". {\n kubernetes a.test {\n  pods all\n }\n}\n",
            "plugin/kubernetes: wrong value for pods: all,  must be one of: disabled, verified, insecure",
            id="pods",
        ),
        pytest.param(
            ". {\n cache {\n  odd 5\n }\n}\n",
            "Corefile:3 - Error during parsing: Wrong argument count or unexpected line ending after 'odd'",
            id="a property of cache",
        ),
        pytest.param(
            ". {\n forward . /none/resolv.conf\n}\n",
            'plugin/forward: not an IP address or file: "/none/resolv.conf"',
            id="a file that is not there",
        ),
        pytest.param(". {\n import none\n}\n", "File to import not found: none", id="import"),
        pytest.param("(a) {\n import a\n}\n. {\n import a\n}\n", "too many imports", id="a snippet of itself"),
        pytest.param("tls://. {\n}\n", "tls:// is not implemented", id="a transport"),
        pytest.param(". {\n log {\n  class odd\n }\n}\n", "invalid Class: odd", id="a class"),
        pytest.param(". {\n errors stderr\n}\n", "invalid log file: stderr", id="where errors go"),
        pytest.param(". {\n errors {\n  odd\n }\n}\n", "Unknown field odd", id="a field of errors"),
        pytest.param(". {\n errors {\n  consolidate 5m\n }\n}\n", "after 'consolidate'", id="errors like what"),
        pytest.param(". {\n errors {\n  consolidate 5m ( info\n }\n}\n", "error parsing regexp", id="a bad kind"),
        pytest.param(
            ". {\n errors {\n  consolidate 5m x odd\n }\n}\n",
            "unknown log level argument in consolidate: odd",
            id="a level",
        ),
        pytest.param(". {\n log {\n  class\n }\n}\n", "Wrong argument count", id="no class"),
        pytest.param(
            ". {\n hosts {\n  fallthrough\n  192.0.2.1 a.test\n }\n}\n",
            "plugin/hosts: Corefile:4 - Error during parsing: unknown property '192.0.2.1'",
            id="a line of hosts after fallthrough",
        ),
    ],
)
def test_what_is_wrong_is_said(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        parse(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            ". {\n errors\n loop\n", "3 - Syntax error: Unexpected token 'loop', expecting '}'", id="the last brace"
        ),
        pytest.param(
            ". {\n cache {\n  success 5\n", "3 - Error during parsing: Unexpected EOF", id="a directive's, and the last"
        ),
        pytest.param(
            "(a) {\n errors\n", "2 - Syntax error: Unexpected token 'errors', expecting '}'", id="a snippet's"
        ),
    ],
)
def test_a_block_that_does_not_close_is_bad_syntax(text: str, problem: str) -> None:
    with pytest.raises(BadSyntax) as raised:
        parse(text, Path("/etc/coredns/Corefile"))
    assert raised.value.problems == [f"/etc/coredns/Corefile:{problem}"]


def test_what_follows_a_directive_that_does_not_close_is_the_directives() -> None:
    """And the file's last brace closes it, so that nobody misses one."""
    text = (
        ". {\n kubernetes cluster.local {\n  ttl 30\n prometheus :9153\n forward . 192.0.2.1 {\n  max_fails 3\n }\n}\n"
    )
    with pytest.raises(Refused) as raised:
        parse(text, Path("/etc/coredns/Corefile"))
    first = "plugin/kubernetes: /etc/coredns/Corefile:4 - Error during parsing: unknown property 'prometheus'"
    assert raised.value.problems[0] == first


def test_what_ends_the_process_is_told_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corefile = tmp_path / "Corefile"
    assert main(["-conf", str(corefile)]) == 1
    corefile.write_text(". {\n forwrd\n cahce\n}\n")
    assert main(["-conf", str(corefile)]) == 1
    assert capsys.readouterr().err == (
        f"loading Caddyfile via flag: open {corefile}: no such file or directory\n"
        f"{corefile}:2 - Error during parsing: Unknown directive 'forwrd'\n"
    )


def test_a_zone_is_served_once() -> None:
    with pytest.raises(Refused) as raised:
        parse(". {\n}\n.:53 {\n}\n")
    assert raised.value.problems == ["cannot serve dns://.:53 - it is already defined"]


def test_a_file_that_is_refused_has_a_digest() -> None:
    with pytest.raises(Refused) as once:
        parse(". {\n forwrd\n}\n")
    with pytest.raises(Refused) as again:
        parse("# the same\n. {\n  forwrd\n}\n")
    with pytest.raises(Refused) as other:
        parse(". {\n forwerd\n}\n")
    assert once.value.digest == again.value.digest != other.value.digest


def test_snippets_imports_and_variables(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("b.test {\n import kept\n}\n")
    text = "(kept) {\n cache {$LIFE} # a comment\n}\n. {\n import kept\n}\nimport *.conf\n"
    parsed = parse(text, tmp_path / "Corefile", {"LIFE": "7"})
    assert [(block.zones, block.cache and block.cache.success.most) for block in parsed.blocks] == [
        (((),), 7),
        ((("b", "test"),), 7),
    ]


def test_the_digest_is_of_what_is_said() -> None:
    first, layout, other = (
        parse(text).digest for text in (". {\n cache 5\n}", ".  { # x\n\tcache 5\n}", ". {\n cache 6\n}")
    )
    assert first == layout != other


def test_cache_options() -> None:
    text = """. {
        cache 60 a.test {
            success 5000 30 10
            denial 100
            prefetch 10 1m 20%
            serve_stale 1h verify
            servfail 0
            keepttl
        }
    }"""
    assert parse(text).blocks[0].cache == Cache(
        (("a", "test"),), Keep(5000, 30, 10), Keep(100, 60, 5), Prefetch(10, 60.0, 20), 3600.0, True, 0, keep_ttl=True
    )


def test_as_many_questions_at_once_as_are_wanted() -> None:
    assert (
        parse(". {\n forward . 192.0.2.1 {\n  max_concurrent 100000\n }\n}\n").blocks[0].forwards[0].max_concurrent
        == 100000
    )


def test_hosts_with_lines_need_no_file() -> None:
    hosts = parse(". {\n hosts {\n  192.0.2.1 a.test b.test\n  fallthrough\n }\n}").blocks[0].hosts
    assert hosts is not None
    assert (hosts.file, hosts.inline, hosts.through) == (None, (("192.0.2.1", "a.test", "b.test"),), ((),))


def test_an_empty_file() -> None:
    with pytest.raises(ConfigError, match="no server block"):
        parse("# nothing\n")
