"""Links of proxied pages, with upstream's cases (apimachinery/pkg/util/proxy/transport_test.go)."""

from __future__ import annotations

import gzip
import zlib

import pytest

from controlplane.apiserver.streams.rewrite import Rewriting

PREFIX = "/api/v1/namespaces/ns/services/web/proxy"
REWRITING = Rewriting(PREFIX, frozenset({"10.1.2.3:80", "api.example:6443"}))


@pytest.mark.parametrize(
    ("link", "becomes"),
    [
        ("/css/a.css", f"{PREFIX}/css/a.css"),
        ("/", f"{PREFIX}/"),
        ("/dir/?a=b#c", f"{PREFIX}/dir/?a=b#c"),
        ("kubelet.log", "kubelet.log"),
        ("../up", "../up"),
        ("?q=1", "?q=1"),
        ("#top", "#top"),
        ("http://10.1.2.3:80/x", f"{PREFIX}/x"),
        ("https://api.example:6443/x/", f"{PREFIX}/x/"),
        ("https://elsewhere.example/x", "https://elsewhere.example/x"),
        ("//elsewhere.example/x", "//elsewhere.example/x"),
        ("mailto:a@b", "mailto:a@b"),
        (f"{PREFIX}/already", f"{PREFIX}/already"),
        ("http://[", "http://["),
    ],
)
def test_links(link: str, becomes: str) -> None:
    assert REWRITING.link(link) == becomes


@pytest.mark.parametrize(
    ("page", "becomes"),
    [
        ('<a href="/x">y</a>', f'<a href="{PREFIX}/x">y</a>'),
        ("<A HREF='/x'>y</A>", f'<A HREF="{PREFIX}/x">y</A>'),
        ("<a href=/x>y</a>", f'<a href="{PREFIX}/x">y</a>'),
        ('<a title="/x" href="rel">y</a>', '<a title="/x" href="rel">y</a>'),
        ('<img src="/i.png?a=1&amp;b=2"/>', f'<img src="{PREFIX}/i.png?a=1&amp;b=2"/>'),
        ('<form action="/post" method=post>', f'<form action="{PREFIX}/post" method=post>'),
        ("<script>var a = '<a href=\"/x\">';</script>", "<script>var a = '<a href=\"/x\">';</script>"),
        ('<!-- <a href="/x"> -->', '<!-- <a href="/x"> -->'),
        ('<p data-href="/x">/x</p>', '<p data-href="/x">/x</p>'),
        ('<pre><a href="kubelet.log">kubelet.log</a>', '<pre><a href="kubelet.log">kubelet.log</a>'),
        ("a < b and <a", "a < b and <a"),
    ],
)
def test_pages(page: str, becomes: str) -> None:
    assert REWRITING.page(page) == becomes


def test_packed_pages_and_pages_that_are_no_utf8() -> None:
    page, becomes = b'<a href="/x">\xff</a>', f'<a href="{PREFIX}/x">'.encode() + b"\xff</a>"
    assert REWRITING.body(page, "") == becomes
    assert gzip.decompress(REWRITING.body(gzip.compress(page), "gzip")) == becomes
    packer = zlib.compressobj(wbits=-15)
    assert zlib.decompress(REWRITING.body(packer.compress(page) + packer.flush(), "deflate"), -15) == becomes
    assert REWRITING.body(page, "br") == page


def test_where_a_link_leaves_the_host() -> None:
    assert REWRITING.leaves("https://127.0.0.1:1/") and REWRITING.leaves("//evil.example")
    assert not REWRITING.leaves("/x") and not REWRITING.leaves("pods/") and not REWRITING.leaves("http://10.1.2.3:80/")
