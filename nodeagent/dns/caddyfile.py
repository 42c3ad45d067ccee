"""The syntax of a Corefile (https://coredns.io/manual/configuration/): server blocks, directives, their blocks.

Words are divided by blanks; `"` holds words together, `#` begins a comment, `{$NAME}` and `{%NAME%}` are variables of
the environment. `(name) { … }` is a snippet, `import name` puts it in place; `import FILE` reads files.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from apimachinery.kit.config import Problems

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_VARIABLE = re.compile(r"\{\$(\w+)\}|\{%(\w+)%\}")
_MOST_IMPORTS = 100  # of all: a file that imports itself ends here


@dataclass(slots=True)
class Line:
    """The words of a line. where: `/etc/coredns/Corefile:7`."""

    where: str
    words: list[str]


@dataclass(slots=True)
class Directive(Line):
    """A directive with the lines of its block."""

    block: list[Line] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.words[0]


@dataclass(slots=True)
class ServerBlock(Line):
    """`words`: its zones."""

    directives: list[Directive] = field(default_factory=list)


def read(text: str, path: Path, environment: Mapping[str, str], problems: Problems) -> list[ServerBlock]:
    """The server blocks of a Corefile. What is wrong is added to `problems`, each with file and line."""
    return _Reader(environment, problems).read(text, path)


def parsing(where: str) -> str:
    """CoreDNS's words for a place where parsing failed."""
    return f"{where} - Error during parsing"


class _Reader:
    def __init__(self, environment: Mapping[str, str], problems: Problems) -> None:
        self._environment, self._problems = environment, problems
        self._snippets: dict[str, list[Line]] = {}
        self._imports = 0

    def read(self, text: str, path: Path) -> list[ServerBlock]:
        servers: list[ServerBlock] = []
        depth = 0
        lines = self._expand(self._lines(text, path), path)
        for line in lines:
            words = line.words
            opens, closes = words[-1] == "{", words == ["}"]
            if opens:
                words = words[:-1]
            if closes:
                depth -= 1
                if depth < 0:
                    self._add(line, "Unexpected '}' because no matching opening brace")
                    depth = 0
            elif depth == 0:
                if not opens:
                    self._add(line, "a server block must begin with its zones and '{'")
                    continue
                servers.append(ServerBlock(line.where, [zone for word in words for zone in word.split(",") if zone]))
            elif depth == 1:
                servers[-1].directives.append(Directive(line.where, words or [""]))
            elif words:
                # What a directive's block holds is the directive's to judge, also where it is a block again: mostly it
                # is what follows a block that was not closed.
                servers[-1].directives[-1].block.append(Line(line.where, words))
            depth += opens
        if depth > 1:
            self._add(lines[-1], "Unexpected EOF")
        elif depth:
            self._unclosed(lines[-1])
        return servers

    def _lines(self, text: str, path: Path) -> list[Line]:
        found: list[Line] = []
        for number, line in enumerate(text.splitlines(), 1):
            words = []
            for match in _WORD.finditer(line):
                if match[2] is not None and match[2].startswith("#"):
                    break
                word = match[2] if match[2] is not None else match[1].replace('\\"', '"')
                words.append(_VARIABLE.sub(lambda found: self._environment.get(found[1] or found[2], ""), word))
            if words := [word for word in words if word]:
                found.append(Line(f"{path}:{number}", words))
        return found

    def _expand(self, lines: list[Line], path: Path) -> list[Line]:
        """The lines with what they import in its place; snippets are noted on the way, as they must come first."""
        out: list[Line] = []
        name: str | None = None
        depth = 0
        for line in lines:
            if name is None and depth == 0 and re.fullmatch(r"\(.+\)", line.words[0]) and line.words[1:] == ["{"]:
                name = line.words[0][1:-1]
                self._snippets[name] = []
                depth = 1
                continue
            if name is not None:
                depth += (line.words[-1] == "{") - (line.words == ["}"])
                if depth:
                    self._snippets[name].append(line)
                else:
                    name = None
                continue
            if line.words[0] == "import":
                out += self._import(line, path)
            else:
                out.append(line)
        if name is not None:
            self._unclosed(lines[-1])
        return out

    def _import(self, line: Line, path: Path) -> list[Line]:
        self._imports += 1
        if len(line.words) < 2:
            self._add(line, "Wrong argument count or unexpected line ending after 'import'")
            return []
        if self._imports > _MOST_IMPORTS:
            self._add(line, "too many imports")
            return []
        name = line.words[1]
        if name in self._snippets:
            return self._expand(self._snippets[name], path)
        files = sorted(path.parent.glob(name)) if not name.startswith("/") else sorted(Path("/").glob(name[1:]))
        if not files and not glob.has_magic(name):
            self._add(line, f"File to import not found: {name}")
        found: list[Line] = []
        for file in files:
            try:
                found += self._expand(self._lines(file.read_text(), file.absolute()), file)
            except (OSError, UnicodeDecodeError) as error:
                self._add(line, f"Could not import {name}: {error}")
        return found

    def _unclosed(self, last: Line) -> None:
        """At the end of the file. CoreDNS looks at the last word alone: where the brace that is missing is not the last
        one, nothing is wrong to it here."""
        word = last.words[-1]
        if word != "}":
            self._problems.add(f"{last.where} - Syntax error", f"Unexpected token '{word}', expecting '}}'")

    def _add(self, line: Line, what: str) -> None:
        self._problems.add(parsing(line.where), what)
