"""The cluster addresses and families of a Service (pkg/apis/core/validation): one of each, two when dual-stack."""

from apimachinery.api.validation.checks import Object, ip
from apimachinery.api.validation.go_values import go_list, go_strings
from apimachinery.meta.paths import Path, Problem, duplicate, invalid, not_supported, required

_ADDRESSES = Path("spec.clusterIPs")
_FAMILIES = Path("spec.ipFamilies")
_POLICY = Path("spec.ipFamilyPolicy")
_KNOWN_FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_ONCE = "may not change once set"


def is_headless(spec: Object) -> bool:
    """True for a Service that asked for no cluster address."""
    return spec.get("clusterIPs") == ["None"]


def cluster_addresses(spec: Object) -> list[Problem]:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy, each and against each other."""
    found, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    problems = _primary(spec.get("clusterIP", ""), found)
    for position, family in enumerate(families):
        where = _FAMILIES.index(position)
        if family not in _KNOWN_FAMILIES:
            problems.append(not_supported(where, family, _KNOWN_FAMILIES))
        if family in families[:position]:
            problems.append(duplicate(where, family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in _POLICIES:
        problems.append(not_supported(_POLICY, policy, _POLICIES))
    malformed = _each(found)
    problems += malformed
    if len(found) > 2:
        problems.append(invalid(_ADDRESSES, go_strings(found), "may only hold up to 2 values"))
    return problems if malformed else problems + _against_families(spec, found, families)


def _primary(first: str, found: list[str]) -> list[Problem]:
    if not first:
        text = "must be empty when `clusterIP` is not specified"
        return [invalid(_ADDRESSES, go_strings(found), text)] if found else []
    if not found:
        return [required(_ADDRESSES)]
    if found[0] != first:
        return [invalid(_ADDRESSES, go_strings(found), "first value must match `clusterIP`")]
    return []


def _each(found: list[str]) -> list[Problem]:
    problems: list[Problem] = []
    for position, text in enumerate(found):
        if position or text != "None":
            problems += ip(text, _ADDRESSES.index(position))
        elif len(found) > 1:
            problems.append(invalid(_ADDRESSES, go_strings(found), "'None' must be the first and only value"))
    return problems


def _against_families(spec: Object, found: list[str], families: list[str]) -> list[Problem]:
    problems: list[Problem] = []
    if len(found) > 1 and len({":" in text for text in found}) < 2:
        text = "may specify no more than one IP for each IP family"
        problems.append(invalid(_ADDRESSES, go_strings(found), text))
    if is_headless(spec):
        return problems
    for position, (address, family) in enumerate(zip(found, families, strict=False)):
        if family in _KNOWN_FAMILIES and (":" in address) != (family == "IPv6"):
            text = f"expected an {family} value as indicated by `ipFamilies[{position}]`"
            problems.append(invalid(_ADDRESSES.index(position), address, text))
    return problems


def addresses_update(spec: Object, before: Object) -> list[Problem]:
    """The primary address and family stay once set; a second may be added, and released with SingleStack."""
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return []
    headless = (is_headless(spec), is_headless(before))
    problems: list[Problem] = []
    if not all(headless):
        problems += _addresses_kept(spec, before)
    if not any(headless):
        problems += _families_kept(spec, before)
    return problems


def _addresses_kept(spec: Object, before: Object) -> list[Problem]:
    now, then = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    shown = go_strings(now or None)
    if len(now) == len(then):
        return [
            invalid(_ADDRESSES.index(position), shown, _ONCE)
            for position, (address, old) in enumerate(zip(now, then, strict=True))
            if address != old
        ]
    problems: list[Problem] = []
    if not now:
        problems.append(invalid(_ADDRESSES.index(0), shown, "primary clusterIP can not be unset"))
    elif then and now[0] != then[0]:
        problems.append(invalid(_ADDRESSES.index(0), shown, _ONCE))
    return problems + _released(spec, "clusterIP", len(then) > len(now) == 1)


def _families_kept(spec: Object, before: Object) -> list[Problem]:
    now, then = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
    where, shown = _FAMILIES.index(0), go_list("core.IPFamily", now or None)
    if len(now) == len(then):
        return [invalid(where, shown, _ONCE) for family, old in zip(now, then, strict=True) if family != old]
    problems: list[Problem] = []
    addresses = spec.get("clusterIPs") or None
    if len(then) > len(now) and not addresses:
        problems.append(invalid(where, shown, "primary ipFamily can not be unset"))
    if now and then and now[0] != then[0]:
        # Upstream prints the addresses here, not the families.
        problems.append(invalid(where, go_strings(addresses), _ONCE))
    return problems + _released(spec, "ipFamily", len(then) > len(now) == 1)


def _released(spec: Object, word: str, gone: bool) -> list[Problem]:
    policy = spec.get("ipFamilyPolicy")
    if not gone or policy == "SingleStack":
        return []
    return [invalid(_POLICY, policy, f"must be set to 'SingleStack' when releasing the secondary {word}")]
