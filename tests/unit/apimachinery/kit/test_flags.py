"""Command lines as Go's programs read them."""

import pytest

from apimachinery.kit.config import FlagError, boolean, or_exit
from apimachinery.kit.flags import FlagParser, Joined, decimal, integer, switch


@pytest.fixture
def parser():
    parser = FlagParser("kube-thing", "Does things.", "v1.32.0", silent=True)
    parser.add_argument("--name", default="")
    parser.add_argument("--each", action="append", default=[])
    parser.add_argument("--list", action=Joined, default="x")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--share", type=float, default=1)
    parser.add_argument("--on-and-off", type=boolean, nargs="?", const=True, default=False)
    parser.add_argument("--text-switch", type=switch, nargs="?", const="true", default="false")
    parser.add_argument("-v", "--v", type=int, default=0)
    parser.accept({"idle": str, "idle-number": integer, "idle-switch": boolean, "idle-share": decimal})
    parser.deprecate({"idle": "use --name"})
    return parser


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--name=a=b"], "name", "a=b"),
        (["--name", "--count"], "name", "--count"),
        (["--name="], "name", ""),
        (["--name=a", "--name", ""], "name", ""),
        (["--name=a", "--name", "b"], "name", "b"),
        (["--each=a", "--each", "b"], "each", ["a", "b"]),
        (["--list=a,b", "--list", "c"], "list", "a,b,c"),
        (["--list=x", "--list="], "list", "x"),
        (["--list="], "list", ""),
        ([], "list", "x"),
        (["--on-and-off"], "on_and_off", True),
        (["--on_and_off=F"], "on_and_off", False),
        (["--text-switch=1"], "text_switch", "true"),
        (["--text-switch=False"], "text_switch", "false"),
        (["-v=4"], "v", 4),
        (["-v4"], "v", 4),
        (["-v", "4"], "v", 4),
        (["--v=4"], "v", 4),
        (["--idle-switch", "--count=3"], "count", 3),
        (["--idle-number", "7", "--idle-share=.5"], "count", 1),
    ],
)
def test_what_is_read(parser, words, field, value):
    assert getattr(parser.read(words), field) == value


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--what"], "unknown flag: --what"),
        (["--wh_at=1", "--other"], "unknown flag: --wh_at"),
        (["--nam=x"], "unknown flag: --nam"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-name=x"], "unknown shorthand flag: 'n' in -name=x"),
        (["--name"], "flag needs an argument: --name"),
        (["-v="], 'invalid argument "" for "-v, --v" flag: strconv.ParseInt: parsing "": invalid syntax'),
        (["-v"], "flag needs an argument: 'v' in -v"),
        (["--=x"], "bad flag syntax: --=x"),
        (["---name"], "bad flag syntax: ---name"),
        (["--on-and-off", "false"], '"kube-thing" does not take any arguments, got ["false"]'),
        (["--", "--name"], '"kube-thing" does not take any arguments, got ["--name"]'),
        (
            ["--count=many"],
            'invalid argument "many" for "--count" flag: strconv.ParseInt: parsing "many": invalid syntax',
        ),
        (["--v=x"], 'invalid argument "x" for "-v, --v" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (
            ["--share=x"],
            'invalid argument "x" for "--share" flag: strconv.ParseFloat: parsing "x": invalid syntax',
        ),
        (
            ["--text-switch=yes"],
            'invalid argument "yes" for "--text-switch" flag: strconv.ParseBool: parsing "yes": invalid syntax',
        ),
        (
            ["--idle-number=x"],
            'invalid argument "x" for "--idle-number" flag: strconv.ParseInt: parsing "x": invalid syntax',
        ),
    ],
)
def test_what_cannot_be_read(parser, words, told):
    with pytest.raises(FlagError) as wrong:
        parser.read(words)
    assert str(wrong.value) == told


def test_what_is_accepted_is_not_kept(parser):
    assert not [name for name in vars(parser.read(["--idle=x", "--idle-switch=true"])) if "idle" in name]


def test_whoever_gives_a_deprecated_flag_is_warned(parser, capsys):
    parser.read(["--idle", "x"])
    assert capsys.readouterr().err == "Flag --idle has been deprecated, use --name\n"


@pytest.mark.parametrize("words", [["--version"], ["--version=true"], ["--count=2", "--version"]])
def test_the_version(parser, capsys, words):
    with pytest.raises(SystemExit) as ended:
        parser.read(words)
    assert ended.value.code == 0 and capsys.readouterr().out == "Kubernetes v1.32.0\n"
    parser.read(["--version=false"])


def test_how_a_component_ends(capsys):
    loud = FlagParser("kube-loud", "Does things.", "v1.32.0")
    with pytest.raises(SystemExit) as ended, or_exit("kube-loud"):
        loud.read(["--what"])
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert told.startswith("Usage:\n  kube-loud [flags]\n") and told.endswith("\n\nError: unknown flag: --what\n")
