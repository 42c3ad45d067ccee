"""What each directive of a Corefile says; durations are in seconds, zones are names, () is the root."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from nodeagent.dns.message import Name

ROOT: Name = ()
Zones = tuple[Name, ...]


def covers(zones: Zones, name: Name) -> bool:
    """Whether a name is in one of the zones."""
    return any(name[len(name) - len(zone) :] == zone for zone in zones if len(zone) <= len(name))


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """zones: with the reverse ones. pods: "disabled", "insecure" (any address), "verified" (there is such a pod).

    namespaces: only these, all when empty. through: for which zones the next plugin is asked for a name that is not.
    pod_names: whether an endpoint without a hostname is called as its pod. endpoints: whether EndpointSlices are read.
    ignore_empty: whether a Service without endpoints is no name.
    """

    zones: Zones
    ttl: int = 5
    pods: str = "disabled"
    namespaces: frozenset[str] = frozenset()
    through: Zones = ()
    pod_names: bool = False
    endpoints: bool = True
    ignore_empty: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """How many answers of a kind are kept, for how many seconds at most, and at least."""

    capacity: int = 9984
    most: int = 3600
    least: int = 5


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Ask anew before an answer expires, when it was asked for `amount` times without a gap of `gap` seconds, and less
    than `percent` of its life is left."""

    amount: int
    gap: float = 60.0
    percent: int = 10


@dataclass(frozen=True, slots=True)
class Cache:
    """stale: seconds for which an expired answer may still be given (0: never). verify: only when asking anew failed.

    servfail: seconds. no_success, no_denial: the zones of which such answers are not kept.
    """

    zones: Zones = (ROOT,)
    success: Keep = Keep()
    denial: Keep = Keep(most=1800)
    prefetch: Prefetch | None = None
    stale: float = 0.0
    verify: bool = False
    servfail: int = 5
    no_success: Zones = ()
    no_denial: Zones = ()
    keep_ttl: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """What is under `zone` is asked of `servers` ((address, port)s), but for `excepted`.

    policy: random, round_robin or sequential. max_fails: failed health checks until a server counts as down, 0: never.
    next_on: response codes on which the next forward is asked; failover: on which the next server is.
    """

    zone: Name
    servers: tuple[tuple[str, int], ...]
    max_concurrent: int = 0
    policy: str = "random"
    max_fails: int = 2
    excepted: Zones = ()
    force_tcp: bool = False
    prefer_udp: bool = False
    health_interval: float = 0.5
    health_domain: Name = ROOT
    health_recursive: bool = True
    next_on: frozenset[int] = frozenset()
    failover: frozenset[int] = frozenset()
    fail_fast: bool = False


@dataclass(frozen=True, slots=True)
class Hosts:
    """file: in the form of hosts(5). inline: such lines in the Corefile. reload: seconds between looks at the file."""

    file: Path | None
    inline: tuple[tuple[str, ...], ...] = ()
    zones: Zones = (ROOT,)
    ttl: int = 3600
    through: Zones = ()
    reverse: bool = True
    reload: float = 5.0


@dataclass(frozen=True, slots=True)
class Rewrite:
    """kind: exact, prefix, suffix, substring, regex or type. `to` names groups of `pattern` (made of `before`) as {1}.

    stop: whether later rules are not looked at. auto: whether names of and within the answer's records are led back.
    answers: (pattern, to) for the names of the records; values: for the names within them.
    """

    kind: str
    before: str
    pattern: re.Pattern[str]
    to: str
    stop: bool = True
    auto: bool = False
    answers: tuple[tuple[re.Pattern[str], str], ...] = ()
    values: tuple[tuple[re.Pattern[str], str], ...] = ()


@dataclass(frozen=True, slots=True)
class LogRule:
    """Queries under `zones` whose answer is of one of `classes` (success, denial, error, all)."""

    zones: Zones
    format: str
    classes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Log:
    rules: tuple[LogRule, ...]


@dataclass(frozen=True, slots=True)
class Consolidate:
    """Errors that match `pattern` are told together after `seconds`. level: logging's."""

    seconds: float
    pattern: str
    level: int


@dataclass(frozen=True, slots=True)
class Errors:
    consolidated: tuple[Consolidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Reload:
    """Seconds between looks at the Corefile, and by how much they vary at most."""

    interval: float = 30.0
    jitter: float = 15.0
