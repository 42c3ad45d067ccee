"""Levels, versions, and the policy that a namespace's labels ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from apimachinery.meta.paths import Path, Problem, invalid

PRIVILEGED, BASELINE, RESTRICTED = LEVELS = ("privileged", "baseline", "restricted")
PREFIX = "pod-security.kubernetes.io/"
LATEST = 1 << 30
"""The minor version that "latest" is."""

_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)", re.ASCII)


class LevelVersion(Struct, frozen=True):
    """A level as of a minor version of Kubernetes."""

    level: str = PRIVILEGED
    minor: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == LATEST else f'v1.{self.minor}'}"

    def equivalent(self, other: LevelVersion) -> bool:
        """Whether both allow the same: no version of privileged forbids anything."""
        return self == other or self.level == other.level == PRIVILEGED


class Policy(Struct, frozen=True):
    """What is refused, what is written to the audit log, what is warned of."""

    enforce: LevelVersion = LevelVersion()
    audit: LevelVersion = LevelVersion()
    warn: LevelVersion = LevelVersion()

    @property
    def fully_privileged(self) -> bool:
        return all(mode.level == PRIVILEGED for mode in (self.enforce, self.audit, self.warn))

    def equivalent(self, other: Policy) -> bool:
        """Whether both allow the same."""
        return all(getattr(self, mode).equivalent(getattr(other, mode)) for mode in ("enforce", "audit", "warn"))


def parse_level(text: str) -> str:
    """Raises ValueError with upstream's sentence."""
    if text not in LEVELS:
        raise ValueError(f"must be one of {', '.join(LEVELS)}")
    return text


def parse_version(text: str) -> int:
    """The minor version. Raises ValueError with upstream's sentence."""
    if text == "latest":
        return LATEST
    match = _VERSION.fullmatch(text)
    if match is None or len(text) > 9:
        raise ValueError('must be "latest" or "v1.x"')
    return int(match.group(1))


def policy_of(labels: Mapping[str, str] | None, defaults: Policy) -> tuple[Policy, list[Problem]]:
    """The policy of a namespace with those labels, and what is wrong with them.

    A wrong level fails closed where it enforces, open where it audits or warns.
    """
    problems: list[Problem] = []
    if not labels or not any(key.startswith(PREFIX) for key in labels):  # as most, and every pod asks
        return defaults, problems
    found, named = {}, set()
    for mode in ("enforce", "audit", "warn"):
        before: LevelVersion = getattr(defaults, mode)
        level, minor = before.level, before.minor
        for key, is_level in ((PREFIX + mode, True), (f"{PREFIX}{mode}-version", False)):
            text = labels.get(key)
            if text is None:
                continue
            named.add(key.removeprefix(PREFIX))
            try:
                if is_level:
                    level = parse_level(text)
                else:
                    minor = parse_version(text)
            except ValueError as error:
                problems.append(invalid(Path("metadata").child("labels").key(key), text, str(error)))
                if is_level:
                    level = RESTRICTED if mode == "enforce" else PRIVILEGED
                    named.discard(mode)
                else:
                    minor = LATEST
        found[mode] = LevelVersion(level, minor)
    enforce, warn = found["enforce"], found["warn"]
    if "enforce" in named and PREFIX + "warn" not in labels and stricter(enforce.level, warn.level):
        # Whoever is refused pods is told so when creating the workload that makes them.
        version = warn.minor if f"{PREFIX}warn-version" in labels else enforce.minor
        found["warn"] = LevelVersion(enforce.level, version)
    return Policy(**found), problems


def stricter(left: str, right: str) -> bool:
    """Whether a level forbids more than the other."""
    return LEVELS.index(left) > LEVELS.index(right)
