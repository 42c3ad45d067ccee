"""What people read, in whatever terminal; and what programs read."""

import pytest

from nodeagent.explain import show
from nodeagent.explain.packet import Finding, Outcome, Step
from nodeagent.explain.question import Question, Target
from nodeagent.explain.report import Report

LONG = "nat KUBE-SERVICES 2: -d 10.96.0.50/32 -p tcp --dport 80 -j KUBE-SVC-LOLE4ISW44XBNF3G  # default/web cluster IP"
COMMAND = "ip netns exec 0123456789abcdef0123456789abcdef0123456789abcdef ip route get 10.96.0.50"


@pytest.fixture
def report() -> Report:
    steps = (
        Step("pod default/a", "route to 10.96.0.50: default via 10.244.1.1 dev eth0", COMMAND),
        Step("node n1", f"[prerouting] {LONG}", "iptables -t nat -L KUBE-SERVICES 2 -n -v", "1:60"),
        Step("node n1", "in VXLAN to n2 (192.0.2.2)"),
        Step("node n1", "[tc] up0: blackhole", "", "7:420, 7 dropped", "stop", 1),
        Step("pod default/b", "answer: 10.244.2.2:80 → 10.244.1.2 TCP"),
    )
    finding = Finding("traffic-control", "node n1", "up0: blackhole: it drops everything", "tc -s qdisc show dev up0",
                      "tc qdisc del dev up0 root")  # fmt: skip
    ways = (
        Outcome("dropped", 0.75, "dropped on node n1", steps=steps, findings=(finding,)),
        Outcome("answers", 0.25, "b answers", backend="10.244.2.2:80"),
    )
    source, target = Target("pod", "default/a", "10.244.1.2"), Target("service", "default/web", "10.96.0.50")
    question = Question(source, target, 80, "tcp", 0, "", None, ("n1", "n2"), ())
    return Report(question, ways, "sometimes", (finding,), True)


def test_lines(report: Report) -> None:
    assert (
        "\n".join(show.lines(report, commands=False))
        == f"""\
pod default/a (10.244.1.2) → Service default/web (10.96.0.50), port 80/TCP

It answers sometimes.
   75.00%  nowhere                  dropped: on node n1 (by chance)
   25.00%  10.244.2.2:80            answers: b answers (by chance)

The way to its end (dropped):
  pod default/a
    route to 10.96.0.50: default via 10.244.1.1 dev eth0
  node n1
    [prerouting] {LONG}  [1 packet]
    in VXLAN to n2 (192.0.2.2)
  ✗   [tc] up0: blackhole  [7 packets, 7 dropped]
  pod default/b
  ↩ answer: 10.244.2.2:80 → 10.244.1.2 TCP

The way to 10.244.2.2:80 (answers):

Not as it should be:
  node n1: up0: blackhole: it drops everything
        $ tc -s qdisc show dev up0
      → tc qdisc del dev up0 root"""
    )


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_the_terminal_and_what_is_typed_stays_whole(report: Report, width: int) -> None:
    lines = list(show.lines(report, width=width))
    typed = [line for line in lines if line.lstrip().startswith("$ ")]
    assert typed[0] == f"        $ {COMMAND}"
    assert all(len(line) <= width for line in lines if line not in typed)
    whole = " ".join(" ".join(lines).split())
    assert " ".join(LONG.split()) in whole


def test_document(report: Report) -> None:
    body = show.document(report)
    assert [step["depth"] for step in body["ways"][0]["steps"]] == [0, 0, 0, 1, 0]
    assert body["findings"][0]["mend"] == "tc qdisc del dev up0 root"
    assert body["findings"][0]["means"]
