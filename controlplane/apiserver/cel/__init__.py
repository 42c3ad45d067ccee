"""The Common Expression Language as Kubernetes 1.32 speaks it: parsed, type-checked and run, with a bound on its cost.

program = compile_expression("self.replicas <= self.maxReplicas", {"self": DYN})
program.evaluate({"self": {"replicas": 1, "maxReplicas": 3}})   # True
"""

from controlplane.apiserver.cel.errors import CelError, CostExceeded, refusal
from controlplane.apiserver.cel.program import PER_CALL_LIMIT, Budget, Program, compile_expression
from controlplane.apiserver.cel.types import BOOL, DYN, INT, STRING, Type, list_of, map_of, optional_of

__all__ = [
    "BOOL",
    "DYN",
    "INT",
    "PER_CALL_LIMIT",
    "STRING",
    "Budget",
    "CelError",
    "CostExceeded",
    "Program",
    "Type",
    "compile_expression",
    "list_of",
    "map_of",
    "optional_of",
    "refusal",
]
