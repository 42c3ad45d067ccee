"""What iptables-save printed, as rules that can be walked and compared. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

# Options without a value (iptables-extensions(8)); every other has one, but these.
_FLAGS = frozenset((
    "--reap", "--rsource", "--rdest", "--set", "--rcheck", "--update", "--remove", "--rttl", "--random",
    "--random-fully", "--persistent", "--syn", "--notrack", "--limit-iface-in", "--limit-iface-out",
    "--physdev-is-in", "--physdev-is-out", "--physdev-is-bridged", "--save-mark", "--restore-mark",
    "--log-ip-options", "--log-uid", "--log-tcp-options", "--log-tcp-sequence", "--log-macdecode", "--validmark",
    "--clamp-mss-to-pmtu",
))  # fmt: skip
_SAID_ANYWAY = re.compile(r'-m (?:tcp|udp|sctp) |-m comment --comment (?:"(?:[^"\\]|\\.)*"|\S+) ?')
_ZEROS = re.compile(r"(--probability \d\.\d*?[1-9])0+\b")
_TWO = frozenset(("--tcp-flags", "--match-set"))
_LONG = {
    "--source": "-s", "--destination": "-d", "--in-interface": "-i", "--out-interface": "-o", "--protocol": "-p",
    "--jump": "-j", "--goto": "-g", "--destination-port": "--dport", "--source-port": "--sport",
    "--destination-ports": "--dports", "--source-ports": "--sports",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Option:
    value: str
    negated: bool = False


@dataclass(slots=True)
class Rule:
    """options: by name, `--dport`. repeated: one is there twice, which nothing here reads."""

    number: int
    text: str
    target: str
    goto: bool = False
    options: dict[str, Option] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    repeated: bool = False
    packets: str = ""

    @property
    def comment(self) -> str:
        return self.options["--comment"].value if "--comment" in self.options else ""

    @property
    def short(self) -> str:
        """For people: what it matches and does, then its comment."""
        words = _ZEROS.sub(r"\1", _SAID_ANYWAY.sub("", self.text)).strip()
        return f"{words}  # {self.comment}" if self.comment else words


@dataclass(slots=True)
class Chain:
    """policy: ACCEPT or DROP for the kernel's own chains, `-` for others."""

    name: str
    policy: str = "-"
    packets: str = ""
    rules: list[Rule] = field(default_factory=list)


Tables = dict[str, dict[str, Chain]]


def parse_saved(text: str) -> Tables:
    """By table and chain. Lines of a kind that iptables-save does not print are left out."""
    tables: Tables = {}
    chains: dict[str, Chain] = {}
    for line in text.splitlines():
        if line.startswith("*"):
            chains = tables.setdefault(line[1:].strip(), {})
        elif line.startswith(":"):
            name, policy, *counters = line[1:].split()
            chains[name] = Chain(name, policy, counters[0].strip("[]") if counters else "")
        elif line.startswith(("-A ", "[")):
            counters_text, _, words = line.rpartition("] -A ") if line.startswith("[") else ("", "", line[3:])
            name, _, rest = words.partition(" ")
            chain = chains.setdefault(name, Chain(name))
            chain.rules.append(parse_rule(rest, len(chain.rules) + 1, counters_text.strip("[")))
    return tables


def parse_rule(text: str, number: int = 0, packets: str = "") -> Rule:
    """text: without `-A CHAIN`."""
    rule = Rule(number, text, "", packets=packets)
    modules: list[str] = []
    words = iter(shlex.split(text))
    negated = False
    for word in words:
        if word == "!":
            negated = True
            continue
        name = _LONG.get(word, word)
        if name == "-m":
            modules.append(next(words, ""))
        elif name in ("-j", "-g"):
            rule.target, rule.goto = next(words, ""), name == "-g"
        else:
            value = "" if name in _FLAGS else next(words, "")
            if name in _TWO:
                value = f"{value} {next(words, '')}"
            rule.repeated = rule.repeated or name in rule.options
            rule.options[name] = Option(value, negated)
        negated = False
    rule.modules = tuple(modules)
    return rule


def same_rule(rule: Rule) -> tuple[object, ...]:
    """Equal for rules that do the same, in whatever words: those we write, and those that iptables-save prints."""
    options = {name: value for name, value in rule.options.items() if name not in _NOISE}
    for name in ("-s", "-d"):
        if name in options:
            value, negated = options[name].value, options[name].negated
            options[name] = Option(value.removesuffix("/128" if ":" in value else "/32"), negated)
    for name, how in (("--or-mark", "or"), ("--xor-mark", "xor"), ("--set-mark", "set"), ("--and-mark", "and")):
        if name in options:
            options["--set-xmark"] = Option(_xmark(how, options.pop(name).value))
    if "--set-xmark" in options:
        options["--set-xmark"] = Option(_hex(options["--set-xmark"].value))
    if "--mark" in options:
        options["--mark"] = Option(_hex(options["--mark"].value), options["--mark"].negated)
    if "--probability" in options:
        options["--probability"] = Option(f"{float(options['--probability'].value):.3f}")
    if "--ctstate" in options:
        states = ",".join(sorted(options["--ctstate"].value.split(",")))
        options["--ctstate"] = Option(states, options["--ctstate"].negated)
    if "--reject-with" in options and options["--reject-with"].value.endswith("port-unreachable"):
        del options["--reject-with"]  # what iptables does where nothing is said
    return rule.target, tuple(sorted((name, value.value, value.negated) for name, value in options.items()))


def program(family: int) -> str:
    """The command that shows the rules of a family, 4 or 6."""
    return "iptables" if family == 4 else "ip6tables"


_NOISE = frozenset(("--comment", "--mask", "--rsource"))


def _xmark(how: str, text: str) -> str:
    value, _, mask = text.partition("/")
    number = int(value, 0)
    if how == "or":
        return f"{number:#x}/{number:#x}"
    if how == "xor":
        return f"{number:#x}/0x0"
    if how == "and":
        return f"0x0/{~number & 0xFFFFFFFF:#x}"
    return f"{number:#x}/{mask or '0xffffffff'}"


def _hex(text: str) -> str:
    value, _, mask = text.partition("/")
    return f"{int(value, 0):#x}" + (f"/{int(mask, 0):#x}" if mask else "")
