"""What is printed as JSON, YAML or through a template."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .codec import to_json
from .complaints import Failed

if TYPE_CHECKING:
    from .codec import Message

# Plain in YAML only when it cannot be read as anything else.
_PLAIN = re.compile(r"^[A-Za-z0-9_./][A-Za-z0-9_./@+=,;$%^()<>~\\ -]*(:[A-Za-z0-9_./@+=,;$%^()<>~\\-][^#\n\r\t]*)*$")
_OTHER = re.compile(
    r"^(true|false|yes|no|on|off|null|y|n|~|[-+]?(\d[\d_]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?\.inf|\.nan|"
    r"0[xob][0-9a-f_]+|\d{4}-\d\d?-\d\d?([Tt ].*)?|[-+]?\d+(:[0-5]?\d)+(\.\d*)?|=|<<)$",
    re.IGNORECASE,
)


def as_json(content: Any) -> str:
    """Indented by two, as Go prints it: nothing escaped but what Go escapes."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def message_json(message: str, content: Message) -> str:
    """A message as protojson prints it."""
    return json.dumps(to_json(message, content), indent=2, ensure_ascii=False)


def as_yaml(content: Any) -> str:
    """sigs.k8s.io/yaml's rendering of a JSON value: keys sorted, lists at their key's depth."""
    return "".join(f"{line}\n" for line in _yaml(content))


def _yaml(content: Any) -> list[str]:
    if isinstance(content, dict) and content:
        lines = []
        for key in sorted(content):
            lines += _entry(f"{_scalar(str(key))}:", content[key])
        return lines
    if isinstance(content, list) and content:
        lines = []
        for each in content:
            first, *rest = _yaml(each)
            lines += [f"- {first}", *(f"  {line}" if line else line for line in rest)]
        return lines
    return [_scalar(content)]


def _entry(head: str, value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        return [head, *(f"  {line}" if line else line for line in _yaml(value))]
    if isinstance(value, list) and value:
        return [head, *_yaml(value)]
    if isinstance(value, str) and "\n" in value and _block_fits(value):
        ends = len(value) - len(value.rstrip("\n"))
        mark = ("|-", "|")[ends] if ends < 2 else "|+"
        body = value.removesuffix("\n")
        return [f"{head} {mark}", *(f"  {line}" if line else "" for line in body.split("\n"))]
    return [f"{head} {_scalar(value)}"]


def _block_fits(value: str) -> bool:
    """Whether a text of several lines can be written as it is."""
    return not re.search(r"[^\n\x20-\x7e]", value) and bool(value.strip()) and not value.startswith((" ", "\n"))


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        alone = not _OTHER.match(value) and not value.endswith((" ", ":")) and " #" not in value
        plain = alone and value.isprintable() and ": " not in value and _PLAIN.fullmatch(value)
        return value if plain else re.sub(r"[^\x20-\x7e]", _escaped, json.dumps(value, ensure_ascii=False))
    return json.dumps(value)


def _escaped(match: re.Match[str]) -> str:
    """A character that YAML may not hold as it is, escaped; others stay."""
    code = ord(match[0])
    if match[0].isprintable():
        return match[0]
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def print_message(message: str, content: Message, form: str) -> bool:
    """Print it as JSON or YAML; False when `form` is another."""
    if form == "json":
        print(message_json(message, content))
    elif form == "yaml":
        print(as_yaml(to_json(message, content)))
    else:
        return False
    return True


def print_statuses(statuses: list[dict[str, Any]], form: str, template: str) -> None:
    """Print what inspect, info and imagefsinfo found. Raises Failed for an unknown form or a bad template."""
    if not statuses:
        return
    content = _sorted(statuses[0] if len(statuses) == 1 else statuses)
    if form == "json":
        print(as_json(content))
    elif form == "yaml":
        print(as_yaml(content))
    elif form == "go-template":
        from .template import TemplateError, execute

        try:
            print(execute(template, content))
        except TemplateError as error:
            raise Failed(f"execute template: {error}") from None
    else:
        raise Failed(f"unsupported format: {json.dumps(form)}")


def info_line(info: dict[str, str]) -> str:
    """The runtime's own information below a table, as Go prints a map."""
    return f"Info: map[{' '.join(f'{name}:{info[name]}' for name in sorted(info))}]"


def status_entry(message: str, content: Message, info: dict[str, str]) -> dict[str, Any]:
    """A message with the runtime's own information beside it, which is JSON in strings."""
    entry: dict[str, Any] = {"status": to_json(message, content)}
    for key, text in info.items():
        if text.startswith("{"):
            try:
                entry[key] = json.loads(text)
            except ValueError as error:
                raise Failed(f"unmarshal status info JSON: {error}") from None
        else:
            entry[key] = text.strip('"')
    return entry


def _sorted(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _sorted(content[key]) for key in sorted(content)}
    return [_sorted(each) for each in content] if isinstance(content, list) else content
