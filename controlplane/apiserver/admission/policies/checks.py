"""What is wrong with the expressions of a policy or webhook before anybody evaluates them.

An expression that does not compile is refused (pkg/apis/admissionregistration/validation); one that does not fit the
kinds that the policy is about is warned of in its status (validating/typechecking.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apimachinery.api.catalogue import Catalogue, Resource
from apimachinery.meta.paths import Path, Problem, internal, invalid
from controlplane.apiserver.admission.cel_types import declared, kind_type
from controlplane.apiserver.admission.expressions import VARIABLES
from controlplane.apiserver.cel import BOOL, DYN, STRING, CelError, Type, compile_expression, refusal
from controlplane.apiserver.cel.errors import NotRunnable
from controlplane.apiserver.cel.types import NULL

Object = dict[str, Any]
Gvk = tuple[str, str, str]

MAX_KINDS = 10
"""Kinds that one policy is type-checked against (maxTypesToCheck)."""


def policy_problems(policy: Mapping[str, Any]) -> list[Problem]:
    """Why the expressions of a ValidatingAdmissionPolicy are refused."""
    spec, path = policy.get("spec") or {}, Path("spec")
    names = declared(_base_names(spec))
    problems: list[Problem] = []
    for position, each in enumerate(spec.get("variables") or ()):
        where = path.child("variables").index(position).child("expression")
        problems += _compile(each.get("expression"), names, (), where)
        _type_variable(each, names)
    silent = {name: kind for name, kind in names.items() if not name.startswith("authorizer")}
    for position, each in enumerate(spec.get("matchConditions") or ()):
        where = path.child("matchConditions").index(position).child("expression")
        problems += _compile(each.get("expression"), names, (BOOL,), where)
    for position, each in enumerate(spec.get("validations") or ()):
        where = path.child("validations").index(position)
        problems += _compile(each.get("expression"), names, (BOOL,), where.child("expression"))
        problems += _compile(each.get("messageExpression"), silent, (STRING,), where.child("messageExpression"))
    for position, each in enumerate(spec.get("auditAnnotations") or ()):
        where = path.child("auditAnnotations").index(position).child("valueExpression")
        problems += _compile(each.get("valueExpression"), names, (STRING, NULL), where)
    return problems


def webhook_problems(configuration: Mapping[str, Any]) -> list[Problem]:
    """Why the match conditions of a webhook configuration are refused."""
    names = declared(VARIABLES)
    problems: list[Problem] = []
    for number, hook in enumerate(configuration.get("webhooks") or ()):
        for position, each in enumerate(hook.get("matchConditions") or ()):
            where = Path("webhooks").index(number).child("matchConditions").index(position).child("expression")
            problems += _compile(each.get("expression"), names, (BOOL,), where)
    return problems


def type_warnings(policy: Mapping[str, Any], catalogue: Catalogue) -> list[Object]:
    """The expressionWarnings of a policy's status: what does not fit a kind that the policy names."""
    spec = policy.get("spec") or {}
    kinds = [(each.gvk, found) for each in _kinds(spec, catalogue) if (found := kind_type(each)) is not None]
    param = spec.get("paramKind") or {}
    of_param = catalogue.by_kind(param.get("apiVersion") or "", param.get("kind") or "")
    params = (kind_type(of_param) if of_param is not None else None) or DYN
    warnings = []
    for position, each in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = each.get(field)
            if not text:
                continue
            misfits = []
            for gvk, kind in kinds:
                names = declared(_base_names(spec)) | {"object": kind, "oldObject": kind}
                if param:
                    names["params"] = params
                for variable in spec.get("variables") or ():
                    _type_variable(variable, names)
                try:
                    compile_expression(text, names)
                except NotRunnable:
                    continue  # types are all that is looked at here
                except CelError as error:
                    misfits.append(f"{_spelled(gvk)}: {error}\n")
            if misfits:
                where = Path("spec").child("validations").index(position).child(field)
                warnings.append({"fieldRef": str(where), "warning": "\n".join(misfits)})
    return warnings


def _base_names(spec: Mapping[str, Any]) -> list[str]:
    return [*VARIABLES, "namespaceObject", *(["params"] if spec.get("paramKind") else [])]


def _type_variable(variable: Mapping[str, Any], names: dict[str, Type]) -> None:
    """Add a variable to the names, with the type that its expression gives by those before it."""
    try:
        kind = compile_expression(variable.get("expression") or "", names).type
    except CelError:
        kind = DYN
    names[f"variables.{variable.get('name')}"] = kind


def _compile(text: str | None, names: Mapping[str, Type], results: tuple[Type, ...], where: Path) -> Iterator[Problem]:
    if not text or not text.strip():
        return
    try:
        kind = compile_expression(text, names).type
    except NotRunnable as error:
        yield internal(where, refusal(error))
        return
    except CelError as error:
        yield invalid(where, text, refusal(error))
        return
    if results and kind not in results:
        if len(results) == 1:
            yield invalid(where, text, f"must evaluate to {results[0].name} but got {kind}")
        else:
            shown = " ".join(each.name for each in results)
            yield invalid(where, text, f"must evaluate to one of [{shown}] but got {kind}")


def _kinds(spec: Mapping[str, Any], catalogue: Catalogue) -> list[Resource]:
    """What the resource rules name without wildcards, one for each kind, sorted."""
    found: dict[Gvk, Resource] = {}
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
        if any("*" in each for each in (*groups, *versions)):
            continue
        plurals = [each for each in rule.get("resources") or () if "*" not in each and "/" not in each]
        for group in sorted(groups):
            for version in sorted(versions):
                for plural in sorted(plurals):
                    resource = catalogue.find(group, version, plural)
                    if resource is not None and len(found) < MAX_KINDS:
                        found.setdefault(resource.gvk, resource)
    return [found[gvk] for gvk in sorted(found)]


def _spelled(gvk: Gvk) -> str:
    group, version, kind = gvk
    return f"{group}/{version}, Kind={kind}"
