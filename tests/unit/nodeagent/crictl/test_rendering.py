"""Tables, ages and sizes; JSON, YAML and templates; all as upstream's program prints them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from nodeagent.crictl.output import as_json, as_yaml
from nodeagent.crictl.tables import age, short, size, table
from nodeagent.crictl.template import TemplateError, execute

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"), (1.2, "1 second"), (59.9, "59 seconds"), (60, "About a minute"),
        (119, "About a minute"), (2 * MINUTE, "2 minutes"), (59 * MINUTE + 59, "59 minutes"), (HOUR, "About an hour"),
        (1.4 * HOUR, "About an hour"), (1.6 * HOUR, "2 hours"), (47 * HOUR, "47 hours"), (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"), (14 * DAY, "2 weeks"), (59 * DAY, "8 weeks"), (60 * DAY, "2 months"),
        (729 * DAY, "24 months"), (730 * DAY, "2 years"),
    ],
)  # fmt: skip
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("amount", "precision", "text"),
    [(0, 4, "0B"), (999, 4, "999B"), (1000, 4, "1kB"), (1929385, 3, "1.93MB"), (268_435_456, 4, "268.4MB")],
)
def test_sizes(amount: int, precision: int, text: str) -> None:
    assert size(amount, precision) == text


def test_a_table_has_columns_of_twenty_and_room_after_the_widest() -> None:
    drawn = table([("A", "B", "C"), ("x" * 20, "y", "z"), ("", "", "")])
    assert drawn == (
        "A".ljust(23) + "B".ljust(20) + "C\n" + ("x" * 20).ljust(23) + "y".ljust(20) + "z\n" + " " * 43 + "\n"
    )


def test_ids_are_cut_to_thirteen() -> None:
    assert short("sha256:0123456789abcdef", "sha256:") == "0123456789abc" and short("ab") == "ab"


def test_json_is_escaped_as_go_does() -> None:
    assert as_json({"a": "<b> & c"}) == '{\n  "a": "\\u003cb\\u003e \\u0026 c"\n}'


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"b": 1, "a": ["x", {"k": "v", "l": []}]}, "a:\n- x\n- k: v\n  l: []\nb: 1\n"),
        ({"n": "12", "t": "true", "e": "", "z": None, "m": {}}, 'e: ""\nm: {}\n"n": "12"\nt: "true"\nz: null\n'),
        ({"s": "a: b", "u": "unix:///run/x.sock", "i": "docker.io/x:1"},
         'i: docker.io/x:1\ns: "a: b"\nu: unix:///run/x.sock\n'),
        ({"l": "one\ntwo\n"}, "l: |\n  one\n  two\n"),
    ],
)  # fmt: skip
def test_yaml(content: Any, text: str) -> None:
    assert as_yaml(content) == text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abyno-:# 1", max_size=5), inner, max_size=4),
    max_leaves=12,
)


@example({"": ["A\n"]})
@example({"": ["0:0\x1f", "a:b: c", "a:b\x85"]})
@given(st.dictionaries(st.text("ab:# -", max_size=4), _JSON, max_size=4))
def test_yaml_says_what_it_was_given(content: Any) -> None:
    assert yaml.safe_load(as_yaml(content)) == content


DATA = {"status": {"state": "RUNNING", "labels": {"a.b/c": "v"}}, "mounts": [{"p": "/a"}, {"p": "/b"}], "pid": 7}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.pid}}", "7"),
        ("{{ .status.state }} {{.pid}}!", "RUNNING 7!"),
        ("{{range .mounts}}{{.p}} {{end}}", "/a /b "),
        ('{{index .status.labels "a.b/c"}}', "v"),
        ("{{json .mounts}}", '[{"p":"/a"},{"p":"/b"}]\n'),
        ("{{.status.state | lower}}", "running"),
        ('{{if eq .status.state "RUNNING"}}up{{else}}down{{end}}', "up"),
        ("{{if .none_of_it}}x{{end}}", None),
        ("{{range .mounts}}{{if eq .p \"/b\"}}b{{else}}-{{end}}{{end}}", "-b"),
        ("{{len .mounts}} {{.status.labels}}", "2 map[a.b/c:v]"),
        ("{{ (index .mounts 1).p }}", "/b"),
        ("{{ .pid .status }}", None),
        ("{{nosuch .pid}}", None),
        ("{{range .mounts}}", None),
    ],
)  # fmt: skip
def test_templates(template: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(TemplateError):
            execute(template, DATA)
    else:
        assert execute(template, json.loads(json.dumps(DATA))) == text
