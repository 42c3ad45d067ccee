"""NetworkPolicies (pkg/apis/networking/validation)."""

from typing import Any

from apimachinery.api.validation.checks import Object, cidr, label_selector, sentences
from apimachinery.meta import names
from apimachinery.meta.addresses import parse_cidr
from apimachinery.meta.paths import Path, Problem, Verbatim, forbidden, invalid, not_supported, required

_SPEC = Path("spec")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_TYPES = ("Ingress", "Egress")


def network_policy(obj: Object) -> list[Problem]:
    """Selectors, ports and peers of both directions."""
    spec = obj.get("spec") or {}
    problems = label_selector(spec.get("podSelector") or {}, _SPEC.child("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for position, rule in enumerate(spec.get(direction) or ()):
            where = _SPEC.child(direction).index(position)
            for index, port in enumerate(rule.get("ports") or ()):
                problems += _port(port, where.child("ports").index(index))
            for index, peer in enumerate(rule.get(peers) or ()):
                problems += _peer(peer, where.child(peers).index(index))
    kinds, where = spec.get("policyTypes") or [], _SPEC.child("policyTypes")
    if len(kinds) > len(_TYPES):
        shown = Verbatim("[]networking.PolicyType{" + ", ".join(f'"{kind}"' for kind in kinds) + "}")
        problems.append(invalid(where, shown, "may not specify more than two policyTypes"))
        return problems
    for position, kind in enumerate(kinds):
        if kind not in _TYPES:
            problems.append(not_supported(where.index(position), kind, _TYPES))
    return problems


def _port(port: Object, path: Path) -> list[Problem]:
    problems: list[Problem] = []
    protocol, number, last = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in _PROTOCOLS:
        problems.append(not_supported(path.child("protocol"), protocol, _PROTOCOLS))
    end = path.child("endPort")
    if number is None:
        text = "may not be specified when `port` is not specified"
        return problems if last is None else [*problems, invalid(end, last, text)]
    if isinstance(number, str):
        if last is not None:
            problems.append(invalid(end, last, "may not be specified when `port` is non-numeric"))
        return problems + sentences(names.port_name(number), number, path.child("port"))
    problems += sentences(names.port_number(number), number, path.child("port"))
    if last is not None:
        if last < number:
            # Upstream shows the other of the two.
            problems.append(invalid(end, number, "must be greater than or equal to `port`"))
        problems += sentences(names.port_number(last), last, end)
    return problems


def _peer(peer: dict[str, Any], path: Path) -> list[Problem]:
    problems: list[Problem] = []
    given = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    for field in given:
        if field == "ipBlock":
            problems += _ip_block(peer[field], path.child(field))
        else:
            problems += label_selector(peer[field], path.child(field))
    if not given:
        problems.append(required(path, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        problems.append(forbidden(path, "may not specify both ipBlock and another peer"))
    return problems


def _ip_block(block: Object, path: Path) -> list[Problem]:
    text = block.get("cidr", "")
    if not text:
        return [required(path.child("cidr"))]
    whole = parse_cidr(text)
    if whole is None:
        return cidr(text, path.child("cidr"))
    problems: list[Problem] = []
    for position, inner in enumerate(block.get("except") or ()):
        where = path.child("except").index(position)
        part = parse_cidr(inner)
        if part is None:
            problems += cidr(inner, where)
            continue
        inside = part.version == whole.version and part.network_address in whole
        if not inside or part.prefixlen <= whole.prefixlen:
            problems.append(invalid(where, inner, "must be a strict subset of `cidr`"))
    return problems
