"""The directives that say what is logged: `errors` and `log`."""

from __future__ import annotations

from apimachinery.kit.config import Problems
from nodeagent.dns import errorlog
from nodeagent.dns.caddyfile import Directive
from nodeagent.dns.directives import place_of, unknown_property
from nodeagent.dns.reverse import zones_of
from nodeagent.dns.settings import ROOT, Errors, Log, LogRule

COMMON_FORMAT = (
    '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" '
    "{rcode} {>rflags} {rsize} {duration}"
)
COMBINED_FORMAT = COMMON_FORMAT + ' "{>opcode}"'


def errors(directive: Directive, problems: Problems) -> Errors:
    if directive.words[1:] not in ([], ["stdout"]):
        problems.add(place_of(directive), f"invalid log file: {' '.join(directive.words[1:])}")
    found = []
    for line in directive.block:
        if line.words[0] == "consolidate":
            try:
                found.append(errorlog.parse(line.words[1:]))
            except ValueError as error:
                problems.add(place_of(directive, line), str(error))
        elif line.words[0] != "stacktrace":
            problems.add(place_of(directive, line), f"Unknown field {line.words[0]}")
    return Errors(tuple(found))


def log(directive: Directive, problems: Problems) -> Log:
    """`log`, `log NAMES… FORMAT { class CLASSES… }`."""
    words = directive.words[1:]
    pattern = COMMON_FORMAT
    if words and "{" in words[-1]:
        pattern = words[-1].replace("{common}", COMMON_FORMAT).replace("{combined}", COMBINED_FORMAT)
        words = words[:-1]
    classes: set[str] = set()
    for line in directive.block:
        if line.words[0] != "class":
            unknown_property(directive, line, problems)
            continue
        if line.words[1:] == []:
            problems.add(place_of(directive, line), "Wrong argument count or unexpected line ending after 'class'")
        if unknown := set(line.words[1:]) - {"success", "denial", "error", "all"}:
            problems.add(place_of(directive, line), f"invalid Class: {min(unknown)}")
        classes |= set(line.words[1:])
    zones = zones_of(words) or (ROOT,)
    return Log((LogRule(zones, pattern, frozenset(classes or {"all"})),))
