"""One object of every kind that can be stored: a minimal valid one, what it reads back as, and one that is refused."""

from __future__ import annotations

from tests.integration.kinds_cluster import CLUSTER
from tests.integration.kinds_core import CORE
from tests.integration.kinds_extending import EXTENDING
from tests.integration.kinds_parts import Kind
from tests.integration.kinds_workloads import WORKLOADS

__all__ = ["KINDS", "Kind"]

KINDS = [*CORE, *EXTENDING, *WORKLOADS, *CLUSTER]
