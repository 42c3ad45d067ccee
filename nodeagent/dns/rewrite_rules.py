"""`rewrite`: questions asked under another name or type, and answers led back. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from nodeagent.dns.message import MAX_LABEL, MAX_NAME, SRV, TYPES, Answer, Name, Query, Record, format_name, parse_name
from nodeagent.dns.settings import Rewrite

Back = Callable[[Answer], Answer]
_LONGEST = 10_000  # characters of a pattern
_TYPES = {text: number for number, text in TYPES.items()}


def parse(words: Sequence[str], stop: bool) -> Rewrite:
    """The rule of `name [exact|prefix|suffix|substring|regex] FROM TO [answer …]` or `type FROM TO`.

    Raises ValueError with what is wrong.
    """
    match list(words):
        case ["type", before, after]:
            for word in (before, after):
                if word.upper() not in _TYPES:
                    raise ValueError(f"invalid type {word!r}")
            return Rewrite("type", before.upper(), re.compile(re.escape(before.upper())), after.upper(), stop)
        case ["name", before, after]:
            return _name_rule("exact", before, after, [], stop)
        case ["name", ("exact" | "prefix" | "suffix" | "substring" | "regex") as kind, before, after, *options]:
            return _name_rule(kind, before, after, options, stop)
        case ["name", kind, _, _, *_]:
            raise ValueError(
                f"name rule supports only exact, prefix, suffix, substring, and regex name matching, received: {kind}"
            )
        case [field, *_] if field not in ("name", "type"):
            raise ValueError(f"rewriting the field {field!r} is not implemented here")
    raise ValueError("too few arguments for a rule")


def _name_rule(kind: str, before: str, after: str, options: list[str], stop: bool) -> Rewrite:
    auto = kind == "exact"
    answers: list[tuple[re.Pattern[str], str]] = []
    values: list[tuple[re.Pattern[str], str]] = []
    while options:
        word, *options = options
        if word == "answer":
            continue
        if word == "auto" or [word, *options[:1]] == ["name", "auto"]:
            auto, options = True, options[1:] if word == "name" else options
        elif word in ("name", "value") and len(options) >= 2:
            (answers if word == "name" else values).append((_compile(options[0]), options[1]))
            options = options[2:]
        else:
            raise ValueError(f"invalid answer rule {word!r}")
    if kind != "regex":
        # CoreDNS completes them as names: a prefix or a substring ends with a label.
        before, after = before.lower().rstrip(".") + ".", after.lower().rstrip(".") + "."
    quoted = re.escape(before)
    text = {"exact": rf"\A{quoted}\Z", "prefix": rf"\A{quoted}", "suffix": rf"{quoted}\Z", "substring": quoted}
    return Rewrite(kind, before, _compile(text.get(kind, before)), after, stop, auto, tuple(answers), tuple(values))


def _compile(pattern: str) -> re.Pattern[str]:
    if len(pattern) > _LONGEST:
        raise ValueError(f"a pattern of more than {_LONGEST} characters")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"error parsing regexp: {error}") from None


def apply(rules: Sequence[Rewrite], query: Query) -> tuple[Query, Back | None]:
    """The query as it is to be asked, and what leads its answer back; None where no rule changed anything.

    Raises ValueError where a rule makes what is no name.
    """
    asked, backs = query, []
    for rule in rules:
        if rule.kind == "type":
            if not rule.pattern.fullmatch(TYPES.get(asked.type, "")):
                continue
            asked = replace(asked, type=_TYPES[rule.to])
        else:
            name = format_name(asked.name)
            changed = _replace(rule, name)
            if changed is None:
                continue
            name_ = legal(parse_name(changed))
            backs.append(_back(rule, asked.name, name_))
            asked = replace(asked, name=name_)
        if rule.stop:
            break
    if asked is query:
        return query, None

    def back(answer: Answer) -> Answer:
        for each in reversed(backs):
            answer = each(answer)
        return answer

    return asked, back


def legal(name: Name) -> Name:
    """The name itself. Raises ValueError for one that cannot be written (RFC 1035 section 2.3.4)."""
    if any(len(label) > MAX_LABEL for label in name) or sum(len(label) + 1 for label in name) >= MAX_NAME:
        raise ValueError(f"{format_name(name)} is no legal name")
    format_name(name).encode("latin-1")
    return name


def _replace(rule: Rewrite, name: str) -> str | None:
    found = rule.pattern.search(name)
    if found is None:
        return None
    if rule.kind == "regex":
        return _fill(rule.to, found)
    if rule.kind == "substring":
        return rule.pattern.sub(lambda _: rule.to, name)
    return name[: found.start()] + rule.to + name[found.end() :]


def _fill(template: str, found: re.Match[str]) -> str:
    """`{1}` is the first group; a reference to a group that is not there stays as it is."""
    groups = [found[0], *found.groups(default="")]
    return re.sub(r"\{(\d+)\}", lambda one: groups[int(one[1])] if int(one[1]) < len(groups) else str(one[0]), template)


def _back(rule: Rewrite, before: Name, after: Name) -> Back:
    """Leads an answer back as CoreDNS does: names and those in data alike, below the name that was asked as well."""
    former, latter = (rule.before, rule.to) if rule.kind == "suffix" else (format_name(before), format_name(after))

    def led(name: Name) -> Name:
        text = format_name(name)
        below = rule.kind == "suffix" or text == latter or text.endswith(f".{latter}")
        return parse_name(text[: -len(latter)] + former) if below and text.endswith(latter) else name

    def owner(name: Name) -> Name:
        return _mapped(rule.answers, led(name) if rule.auto else name)

    def value(name: Name) -> Name:
        return _mapped(rule.values, led(name) if rule.auto else name)

    def data(record: Record) -> Record:
        if isinstance(record.data, bytes):
            return replace(record, name=owner(record.name))
        if record.type == SRV:
            priority, weight, port, target = record.data
            assert isinstance(target, tuple)
            return replace(record, name=owner(record.name), data=(priority, weight, port, value(target)))  # type: ignore[arg-type]
        return replace(record, name=owner(record.name), data=value(record.data))  # type: ignore[arg-type]

    def lead_back(answer: Answer) -> Answer:
        records, authority, additional = (
            tuple(data(record) for record in section)
            for section in (answer.records, answer.authority, answer.additional)
        )
        return replace(answer, records=records, authority=authority, additional=additional)

    return lead_back


def _mapped(rules: Sequence[tuple[re.Pattern[str], str]], name: Name) -> Name:
    """The name after every rule that matches it: what a rule makes is the whole name, not what it matched alone."""
    for pattern, to in rules:
        if found := pattern.search(format_name(name)):
            name = parse_name(_fill(to, found))
    return name
