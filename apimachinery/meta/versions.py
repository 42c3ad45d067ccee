"""The order of API versions: v10, v2, v1, v11beta2, v10beta3, v3beta1, v12alpha1, v11alpha2, foo1, foo10.

k8s.io/apimachinery/pkg/version: CompareKubeAwareVersionStrings.
"""

from __future__ import annotations

import re

_KUBE = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STAGES = {None: 0, "beta": 1, "alpha": 2}


def preference(version: str) -> tuple[int, int, int, str]:
    """A sort key: the version that clients should prefer comes first."""
    match = _KUBE.fullmatch(version)
    if match is None:
        return 3, 0, 0, version
    return _STAGES[match[2]], -int(match[1]), -int(match[3] or 0), ""
