"""The plug-ins by name: the only list of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apimachinery.api.catalogue import NAMESPACES, PRIORITYCLASSES, SERVICEACCOUNTS, Resource
from controlplane.apiserver.admission.chain import Chain, Plugin
from controlplane.apiserver.admission.default_toleration_seconds import DefaultTolerationSeconds
from controlplane.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from controlplane.apiserver.admission.node_restriction import NodeRestriction
from controlplane.apiserver.admission.priority import Priority
from controlplane.apiserver.admission.service_account import ServiceAccount
from controlplane.apiserver.admission.taint_nodes_by_condition import TaintNodesByCondition
from controlplane.apiserver.registry.store import ObjectStore


def chain(names: Sequence[str], store: Callable[[Resource], ObjectStore]) -> Chain:
    """The chain of the enabled plug-ins, in the order of `names`."""
    makers: dict[str, Callable[[], Plugin]] = {
        "NamespaceLifecycle": lambda: NamespaceLifecycle(store(NAMESPACES)),
        "ServiceAccount": lambda: ServiceAccount(store(SERVICEACCOUNTS)),
        "NodeRestriction": NodeRestriction,
        "TaintNodesByCondition": TaintNodesByCondition,
        "Priority": lambda: Priority(store(PRIORITYCLASSES)),
        "DefaultTolerationSeconds": DefaultTolerationSeconds,
    }
    return Chain([makers[name]() for name in names])
