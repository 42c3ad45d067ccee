"""apt's configuration → the guest's package sources (sources.list(5))."""

from pathlib import Path

import pytest

from provisioner.images.errors import ImageError
from provisioner.images.mirror import Source, guest_sources, parse_deb822, parse_one_line, plan_sources

DEB822 = """\
Types: deb
# a comment inside the stanza
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
"""


def test_deb822_gives_the_enabled_deb_stanzas() -> None:
    first, second = parse_deb822(DEB822)
    assert first.uris == ("http://mirror.example/debian",)
    assert first.suites == ("bookworm", "bookworm-updates")
    assert dict(first.options)["signed-by"].endswith("debian-archive-keyring.gpg")
    assert second.suites == ("bookworm-security",)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            "deb http://m/debian bookworm main", [(("http://m/debian",), ("bookworm",), ("main",))], id="plain"
        ),
        pytest.param("deb-src http://m/debian bookworm main", [], id="sources only"),
        pytest.param("# deb http://m/debian bookworm main", [], id="commented out"),
        pytest.param(
            "deb [arch=amd64 signed-by=/k.gpg] http://m/x stable main extra # why",
            [(("http://m/x",), ("stable",), ("main", "extra"))],
            id="options and trailing comment",
        ),
        pytest.param("deb cdrom:[x]/ ./", [(("cdrom:[x]/",), ("./",), ())], id="flat"),
    ],
)
def test_one_line_format(line: str, expected: list[tuple[tuple[str, ...], ...]]) -> None:
    assert [(s.uris, s.suites, s.components) for s in parse_one_line(line)] == expected


def test_the_suite_is_exchanged_and_the_mirror_kept() -> None:
    assert plan_sources(parse_deb822(DEB822), "bookworm") == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/security trixie-security main",
    ]


def test_other_peoples_archives_are_left_out() -> None:
    foreign = [
        Source(("http://v/apt",), ("bookworm",), ("main",), (("signed-by", "/usr/share/keyrings/vendor.gpg"),)),
        Source(("http://v/cloud",), ("cloud-bookworm",), ("main",)),
        Source(("http://v/docker",), ("bookworm",), ("stable",)),
    ]
    assert plan_sources(foreign, "bookworm") == []


def test_date_check_of_a_snapshot_mirror_is_kept() -> None:
    source = Source(("http://snap/d",), ("trixie",), ("main",), (("check-valid-until", "no"), ("arch", "amd64")))
    assert plan_sources([source], "trixie") == ["deb [check-valid-until=no] http://snap/d trixie main"]


def test_a_machine_without_a_debian_mirror_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    with pytest.raises(ImageError, match="no Debian mirror"):
        guest_sources(tmp_path)
    (tmp_path / "apt/sources.list").write_text("deb http://m/debian bookworm main\n")
    assert guest_sources(tmp_path) == ["deb http://m/debian trixie main"]
