"""What one kind is checked for, beside its metadata."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from apimachinery.api.validation.checks import NameCheck
from apimachinery.meta import names
from apimachinery.meta.paths import Problem

Object = dict[str, Any]
Check = Callable[[Object], list[Problem]]
Change = Callable[[Object, Object], list[Problem]]


def nothing(obj: Object) -> list[Problem]:
    """No rule for one object."""
    return []


def no_change(new: Object, old: Object) -> list[Problem]:
    """No rule for a change."""
    return []


class Rules(Struct, frozen=True):
    """check: on create and update. create: on create only. update, status: what a change (of the status) may do.

    change_first: upstream names what a change may not do before what is wrong with the object.
    any_finalizers: upstream judges the metadata without the core group's rules, which want finalizers to have a domain.
    """

    check: Check = nothing
    update: Change = no_change
    status: Change = no_change
    create: Check = nothing
    name: NameCheck = names.dns1123_subdomain
    change_first: bool = False
    any_finalizers: bool = False
