"""LimitPodHardAntiAffinityTopology: a pod may keep others off its node, not off a whole zone."""

from __future__ import annotations

from controlplane.apiserver.admission.chain import Plugin, Review

HOSTNAME = "kubernetes.io/hostname"


class LimitPodHardAntiAffinityTopology(Plugin):
    """plugin/pkg/admission/antiaffinity."""

    name = "LimitPodHardAntiAffinityTopology"
    about = frozenset({("", "pods")})

    async def validate(self, review: Review) -> None:
        if review.operation not in ("CREATE", "UPDATE") or not review.is_for("", "pods"):
            return
        assert review.new is not None
        anti = ((review.new["spec"].get("affinity") or {}).get("podAntiAffinity")) or {}
        for term in anti.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            if (key := term.get("topologyKey") or "") != HOSTNAME:
                raise review.forbidden(
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} "
                    "is allowed"
                )
