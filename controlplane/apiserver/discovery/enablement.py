"""--runtime-config: which versions and resources are served (k8s.io/apiserver/pkg/server/resourceconfig)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from apimachinery.api.catalogue import Catalogue, Resource
from apimachinery.kit.config import boolean

#: Keys about many versions, in the order in which they count.
_MATCHERS = {
    "api/all": re.compile(r""),
    "api/ga": re.compile(r"v\d+\Z"),
    "api/beta": re.compile(r"v\d+beta\d+\Z"),
    "api/alpha": re.compile(r"v\d+alpha\d+\Z"),
}

_NOT_SERVED = {
    "admission.k8s.io": "v1 v1beta1",
    "admissionregistration.k8s.io": "v1beta1 v1alpha1",
    "apiextensions.k8s.io": "v1beta1",
    "apiregistration.k8s.io": "v1beta1",
    "apps": "v1beta2 v1beta1",
    "authentication.k8s.io": "v1beta1 v1alpha1",
    "authorization.k8s.io": "v1beta1",
    "autoscaling": "v2beta1 v2beta2",
    "batch": "v1beta1",
    "certificates.k8s.io": "v1beta1 v1alpha1",
    "coordination.k8s.io": "v1beta1 v1alpha2",
    "discovery.k8s.io": "v1beta1",
    "events.k8s.io": "v1beta1",
    "extensions": "v1beta1",
    "flowcontrol.apiserver.k8s.io": "v1beta1 v1beta2 v1beta3",
    "imagepolicy.k8s.io": "v1alpha1",
    "internal.apiserver.k8s.io": "v1alpha1",
    "networking.k8s.io": "v1beta1 v1alpha1",
    "node.k8s.io": "v1beta1 v1alpha1",
    "policy": "v1beta1",
    "rbac.authorization.k8s.io": "v1beta1 v1alpha1",
    "resource.k8s.io": "v1beta1 v1alpha3",
    "scheduling.k8s.io": "v1beta1 v1alpha1",
    "storage.k8s.io": "v1beta1 v1alpha1",
    "storagemigration.k8s.io": "v1alpha1",
}
"""What 1.32 knows and does not serve unless it is asked to. Here it is known to be off, and cannot be turned on."""


def refusals(catalogue: Catalogue, asked: Mapping[str, str]) -> list[str]:
    """What is wrong with the flag, in upstream's words. asked: key → value; catalogue: what can be served."""
    if dict(asked) == {"api/all": "false"}:
        return ["invalid key with only api/all=false"]
    wide = [key for key in _MATCHERS if asked.get(key, "true") not in ("true", "false")]
    found = [f"invalid value {key}={asked[key]}" for key in wide]
    known = {group: {*versions} for group, versions in catalogue.versions().items()}
    unknown = []
    for key, value in asked.items():
        if key in _MATCHERS:
            continue
        words = key.split("/")
        if len(words) not in (2, 3):
            found.append(f"runtime-config invalid key {key}")
            continue
        group, version = words[:2]
        off = _NOT_SERVED.get(group, "").split()
        if group not in known and not off:
            unknown.append(group)
        elif version not in (*known.get(group, ()), *off):
            found.append(f"group version {_spelt(group, version)} that has not been registered")
        else:
            found += _of_value(key, value, served=version in known.get(group, ()))
    if unknown:
        found.append(f"unknown api groups {','.join(unknown)}")
    return found


def _of_value(key: str, value: str, *, served: bool) -> list[str]:
    try:
        on = _is_on(value)
    except ValueError as error:
        return [f"invalid value of {key}: {value}, err: {error}"]
    resource = "".join(key.split("/")[2:])
    if resource.lower() != resource:
        what = "group/version/resource and resource is always lowercase plural"
        return [f'invalid key {key}: {what}, not "{resource}"']
    if on and not served:
        return [f"{key} cannot be turned on: only what 1.32 serves by default is there"]
    return []


def enabled(catalogue: Catalogue, asked: Mapping[str, str]) -> Catalogue:
    """What of `catalogue` is served; itself when nothing is asked. asked: as `refusals` had nothing against."""
    if not asked:
        return catalogue
    return Catalogue(_served(catalogue, asked))


def _served(resources: Iterable[Resource], asked: Mapping[str, str]) -> Iterable[Resource]:
    for resource in resources:
        version, on = f"{resource.group}/{resource.version}", True
        for key, pattern in _MATCHERS.items():
            if key in asked and pattern.match(resource.version):
                on = asked[key] == "true"
        # The narrower counts: a version before what is said of all, a resource before its version.
        for key in (version, f"{version}/{resource.plural}"):
            if key in asked:
                on = _is_on(asked[key])
        if on:
            yield resource


def _is_on(value: str) -> bool:
    return not value or boolean(value)


def _spelt(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version
