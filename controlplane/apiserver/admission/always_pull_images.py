"""AlwaysPullImages: nobody uses another's private image just because it is on the node already."""

from __future__ import annotations

from apimachinery.meta import status
from apimachinery.meta.paths import Path, Problem, not_supported
from controlplane.apiserver.admission.chain import Plugin, Review

_SECTIONS = ("initContainers", "containers", "ephemeralContainers")


class AlwaysPullImages(Plugin):
    """plugin/pkg/admission/alwayspullimages."""

    name = "AlwaysPullImages"
    about = frozenset({("", "pods")})

    async def mutate(self, review: Review) -> None:
        if not self._concerned(review):
            return
        assert review.new is not None
        for section in _SECTIONS:
            for container in review.new["spec"].get(section) or ():
                if container.get("imagePullPolicy") != "Always":
                    container["imagePullPolicy"] = "Always"
                    review.tell(f"spec.{section}[{container.get('name', '')}].imagePullPolicy: Always")

    async def validate(self, review: Review) -> None:
        if not self._concerned(review):
            return
        assert review.new is not None
        problems: list[Problem] = []
        for section in _SECTIONS:
            for position, container in enumerate(review.new["spec"].get(section) or ()):
                if container.get("imagePullPolicy") != "Always":
                    path = Path("spec").child(section).index(position).child("imagePullPolicy")
                    problems.append(not_supported(path, container.get("imagePullPolicy") or "", ["Always"]))
        if problems:
            raise (
                review.forbidden(str(problems[0]))
                if len(problems) == 1
                else status.invalid("Pod", review.name, problems)
            )

    def _concerned(self, review: Review) -> bool:
        """Creation, and updates that bring another image."""
        if not review.is_for("", "pods", "", "ephemeralcontainers"):
            return False
        if review.operation != "UPDATE":
            return review.operation == "CREATE"
        assert review.new is not None and review.old is not None
        before, after = (
            {
                (section, container["name"]): container.get("image")
                for section in _SECTIONS
                for container in pod["spec"].get(section) or ()
            }
            for pod in (review.old, review.new)
        )
        return before != after
