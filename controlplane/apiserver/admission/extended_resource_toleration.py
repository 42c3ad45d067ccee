"""ExtendedResourceToleration: whoever asks for a device tolerates the taint that keeps others off its nodes."""

from __future__ import annotations

from controlplane.apiserver.admission.chain import Plugin, Review


class ExtendedResourceToleration(Plugin):
    """plugin/pkg/admission/extendedresourcetoleration."""

    name = "ExtendedResourceToleration"
    about = frozenset({("", "pods")})

    async def mutate(self, review: Review) -> None:
        if review.operation not in ("CREATE", "UPDATE") or not review.is_for("", "pods"):
            return
        assert review.new is not None
        spec = review.new["spec"]
        asked: set[str] = set()
        for section in ("containers", "initContainers"):
            for container in spec.get(section) or ():
                for name in (container.get("resources") or {}).get("requests") or {}:
                    domain, slash, _ = name.partition("/")
                    if slash and domain != "kubernetes.io" and not domain.endswith(".kubernetes.io"):
                        asked.add(name)
        tolerations = list(spec.get("tolerations") or ())
        for name in sorted(asked):
            wanted = {"key": name, "operator": "Exists", "effect": "NoSchedule"}
            if wanted not in tolerations:
                tolerations.append(wanted)
                review.tell(f"+spec.tolerations[{name}]")
        if asked:
            spec["tolerations"] = tolerations
