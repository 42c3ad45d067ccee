"""CEL expressions of webhooks and policies: what they may name, and how their errors read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from apimachinery.api.catalogue import Resource
from apimachinery.meta.paths import aggregate
from controlplane.apiserver.admission.chain import Review
from controlplane.apiserver.admission.request import admission_request
from controlplane.apiserver.admission.versions import present
from controlplane.apiserver.authz.attributes import Attributes, Decision
from controlplane.apiserver.registry.call import Authorize

if TYPE_CHECKING:
    from controlplane.apiserver.cel import Budget, Program

Bindings = dict[str, Any]

MATCH_BUDGET = 2_500_000
"""Cost units that all match conditions of one request may take (RuntimeCELCostBudgetMatchConditions)."""
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class ExpressionError(Exception):
    """An expression does not compile or could not be evaluated; the message is upstream's."""


class OutOfBudget(ExpressionError):
    """Nothing is left for this expression; no further one is run."""


class _Asking(Struct, frozen=True):
    """What an expression's `authorizer` asks."""

    ask: Authorize

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return await self.ask(attributes)


class Expression:
    """Compiled at its first evaluation, so that nobody pays for CEL who has no expressions."""

    def __init__(self, text: str, variables: Sequence[str]) -> None:
        self.text, self._variables = text.strip(), variables
        self._program: Program | None = None
        self._broken = ""

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget) -> Any:
        """Raises ExpressionError, OutOfBudget."""
        from controlplane.apiserver.admission.cel_types import declared
        from controlplane.apiserver.cel import CelError, compile_expression, refusal

        if self._program is None and not self._broken:
            try:
                self._program = compile_expression(self.text, declared(self._variables))
            except CelError as error:
                self._broken = f"compilation error: {refusal(error)}"
        if self._program is None:
            raise ExpressionError(self._broken)
        try:
            return self._program.evaluate(bindings, budget)
        except CelError as error:
            raise ExpressionError(f"expression '{self.text}' resulted in error: {error}") from None
        finally:
            if budget.left < 0:
                raise OutOfBudget(_OUT_OF_BUDGET)


def bindings(review: Review, resource: Resource) -> Bindings:
    """`object`, `oldObject`, `request` and `authorizer`, as `resource` knows the request."""
    from controlplane.apiserver.cel.library.authorizer import AuthorizerValue, ResourceCheck

    new, old = present(review, resource)
    call = review.call
    asks = AuthorizerValue(_Asking(call.authorize), call.user)
    where = review.resource
    return {
        "object": new,
        "oldObject": old,
        "request": admission_request(review, resource),
        "authorizer": asks,
        "authorizer.requestResource": ResourceCheck(
            asks, where.group, where.plural, call.subresource, call.namespace, review.name
        ),
    }


VARIABLES = ("object", "oldObject", "request", "authorizer", "authorizer.requestResource")


class Conditions:
    """matchConditions: all must be true. fail: failurePolicy Fail, by which an error counts as one."""

    def __init__(self, items: Sequence[Mapping[str, str]], more: Sequence[str] = (), *, fail: bool) -> None:
        self._expressions = [Expression(each["expression"], (*VARIABLES, *more)) for each in items]
        self._fail = fail

    def match(self, bound: Mapping[str, Any]) -> bool:
        """Whether all hold; a false one decides whatever the others' errors are. Raises ExpressionError."""
        from controlplane.apiserver.cel import Budget

        budget, errors = Budget(MATCH_BUDGET), []
        for expression in self._expressions:
            try:
                if expression.evaluate(bound, budget) is False:
                    return False
            except OutOfBudget as error:
                errors = [str(error)]
                break
            except ExpressionError as error:
                errors.append(str(error))
        if not errors:
            return True
        if self._fail:
            raise ExpressionError(aggregate(errors))
        return False
