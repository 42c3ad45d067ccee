"""A policy against one request and one parameter (validating/validator.go). No I/O, except what authorizers do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from controlplane.apiserver.admission.expressions import Bindings, Expression, ExpressionError, OutOfBudget
from controlplane.apiserver.admission.policies.policy import Policy, Validation

if TYPE_CHECKING:
    from controlplane.apiserver.cel import Budget

BUDGET = 10_000_000
"""Cost units of all validations of one request and parameter (RuntimeCELCostBudget)."""
MAX_MESSAGE = 5 * 1024
"""Bytes of what a messageExpression may say."""


class Denial(Struct, frozen=True):
    """A rule that does not hold, or could not be evaluated (reason "")."""

    index: int
    message: str
    reason: str = ""


class Outcome(Struct):
    """errors: of audit annotations, which deny whatever the binding's actions are."""

    denials: list[Denial] = field(default_factory=list)
    annotations: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def evaluate(policy: Policy, bound: Bindings, params: Mapping[str, Any] | None, namespace: Any) -> Outcome:
    """What a policy says. bound: `expressions.bindings`; namespace: what expressions see of it."""
    from controlplane.apiserver.cel import Budget

    outcome = Outcome()
    budget = Budget(BUDGET)
    bound = {**bound, "params": params, "namespaceObject": None}
    bound |= _variables(policy, bound, budget)
    if policy.conditions is not None:
        try:
            if not policy.conditions.match(bound):
                return outcome
        except ExpressionError as error:
            return Outcome([Denial(0, str(error))])
    bound["namespaceObject"] = namespace
    try:
        _validate(policy, bound, budget, outcome)
        _annotate(policy, bound, outcome)
    except OutOfBudget as error:
        return Outcome([Denial(0, str(error))] if policy.fail else [])
    return outcome


def _validate(policy: Policy, bound: Bindings, budget: Budget, outcome: Outcome) -> None:
    for index, validation in enumerate(policy.validations):
        try:
            if validation.expression.evaluate(bound, budget) is not True:
                outcome.denials.append(Denial(index, _message(validation, bound, budget), validation.reason))
        except OutOfBudget:
            raise
        except ExpressionError as error:
            if policy.fail:
                outcome.denials.append(Denial(index, str(error)))


def _variables(policy: Policy, bound: Bindings, budget: Budget) -> Bindings:
    """Each is computed when an expression first names it, at most once."""
    from controlplane.apiserver.cel import CelError
    from controlplane.apiserver.cel.run import Later

    found: Bindings = {}

    def later(name: str, expression: Expression) -> Later:
        def compute() -> Any:
            try:
                return expression.evaluate({**bound, **found}, budget)
            except ExpressionError as error:
                raise CelError(f'composited variable "{name}" fails to evaluate: {error}') from None

        return Later(compute)

    for name, expression in policy.variables.items():
        found[f"variables.{name}"] = later(name, expression)
    return found


def _message(validation: Validation, bound: Bindings, budget: Budget) -> str:
    """What is said: the message expression's text if it gives one line, the message, or the rule itself."""
    if validation.message_expression is not None:
        try:
            said = validation.message_expression.evaluate(bound, budget)
        except OutOfBudget as error:
            raise OutOfBudget(f"failed messageExpression: {error}") from None
        except ExpressionError:
            said = None
        if isinstance(said, str):
            said = said.strip()
            if said and len(said.encode()) <= MAX_MESSAGE and "\n" not in said:
                return said
    return validation.message or f"failed expression: {validation.expression.text}"


def _annotate(policy: Policy, bound: Bindings, outcome: Outcome) -> None:
    from controlplane.apiserver.cel import Budget

    budget = Budget(BUDGET)
    for annotation in policy.annotations:
        try:
            value = annotation.value.evaluate(bound, budget)
            if value is not None and not isinstance(value, str):
                raise ExpressionError(
                    f"valueExpression '{annotation.value.text}' resulted in unsupported return type: "
                    f"{type(value).__name__}. Return type must be either string or null."
                )
        except OutOfBudget:
            raise
        except ExpressionError as error:
            if policy.fail:
                outcome.errors.append(str(error))
            continue
        if value is not None and value.strip():
            outcome.annotations.append((annotation.key, value.strip()))
