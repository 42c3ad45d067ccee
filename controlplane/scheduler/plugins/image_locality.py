"""ImageLocality: prefer nodes that hold the pod's images already."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.scheduler.framework import MAX_SCORE, Score
from controlplane.scheduler.node_info import NodeInfo
from controlplane.scheduler.pod_info import PodInfo
from controlplane.scheduler.snapshot import Snapshot

# Below the first size (per container) holding an image is worth nothing, above the second it is worth everything.
_MIN_BYTES = 23 * 1024 * 1024
_MAX_BYTES_PER_CONTAINER = 1000 * 1024 * 1024


class ImageLocality:
    """Score on image sizes, scaled by how many nodes hold the image so that pods do not all run to one node."""

    name = "ImageLocality"
    scores_alone = False

    def score_for(self, pod: PodInfo, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> Score | None:
        """Score 0 to 100 by the bytes that need not be pulled."""
        names = [normalized_image(image) for image in pod.images]
        if not names or not snapshot.nodes:
            return None
        spread = {name: snapshot.holders(name) / len(snapshot) for name in names}
        if not any(spread.values()):
            return None
        ceiling = _MAX_BYTES_PER_CONTAINER * len(names)

        def score(node: NodeInfo) -> int:
            held = sum(int(node.image_sizes.get(name, 0) * spread[name]) for name in names)
            held = min(max(held, _MIN_BYTES), ceiling)
            return MAX_SCORE * (held - _MIN_BYTES) // (ceiling - _MIN_BYTES)

        return score

    def normalize(self, scores: list[int]) -> list[int]:
        """Already 0 to 100."""
        return scores


def normalized_image(image: str) -> str:
    """Append `:latest` to an image without tag or digest, as node status lists it."""
    return image if image.rfind(":") > image.rfind("/") else image + ":latest"
