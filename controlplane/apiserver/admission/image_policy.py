"""ImagePolicyWebhook: a webhook says which images may run (imagepolicy.k8s.io/v1alpha1 ImageReview)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct

from apimachinery.client.config import ClientConfig
from apimachinery.kit.clock import Clock
from controlplane.apiserver.admission.chain import Plugin, Review
from controlplane.apiserver.authn.remote_reviews import RemoteReviews, ReviewFailed

log = logging.getLogger(__name__)

Object = dict[str, Any]

FAILED_OPEN = "alpha.image-policy.k8s.io/failed-open"
"""The annotation of a pod that came in while nobody could be asked."""
_AUDIT = "imagepolicywebhook.image-policy.k8s.io/"
_OF_USERS = ".image-policy.k8s.io/"
_SECTIONS = {"": ("containers", "initContainers"), "ephemeralcontainers": ("ephemeralContainers",)}
_REMEMBERED = 1024  # answers


class ImagePolicy(Struct, frozen=True):
    """What the configuration says. client: where the webhook is, and who we are to it. allow_ttl, deny_ttl: seconds
    that an answer holds; retry_backoff: seconds before the second attempt; default_allow: without an answer."""

    client: ClientConfig
    allow_ttl: float = 300.0
    deny_ttl: float = 30.0
    retry_backoff: float = 0.5
    default_allow: bool = False

    def reviews(self, clock: Clock) -> RemoteReviews:
        """Who asks the webhook."""
        return RemoteReviews(
            self.client,
            "imagepolicy.k8s.io/v1alpha1",
            "ImageReview",
            clock,
            pause=self.retry_backoff,
            answers=_REMEMBERED,
        )


class ImagePolicyWebhook(Plugin):
    """plugin/pkg/admission/imagepolicy. It looks at every update too, whether images changed or not."""

    name = "ImagePolicyWebhook"
    about = frozenset({("", "pods")})

    def __init__(self, policy: ImagePolicy, reviews: RemoteReviews) -> None:
        self._policy, self._reviews = policy, reviews

    async def validate(self, review: Review) -> None:
        if review.operation not in ("CREATE", "UPDATE") or not review.is_for("", "pods", *_SECTIONS):
            return
        assert review.new is not None
        spec = render(review.new, review.namespace, review.call.subresource)
        key = orjson.dumps(spec)
        told = self._reviews.remembered(key)
        if told is None:
            try:
                told = await self._reviews.ask(spec, {"allowed": False})
            except ReviewFailed as error:
                self._unanswered(review, error)
                return
            seconds = self._policy.allow_ttl if told.get("allowed") is True else self._policy.deny_ttl
            self._reviews.remember(key, told, seconds)
        notes = told.get("auditAnnotations")
        for note, value in notes.items() if isinstance(notes, dict) else ():
            review.call.annotate(_AUDIT + note, str(value))
        if told.get("allowed") is True:
            return
        if told.get("reason"):
            raise review.forbidden(f"image policy webhook backend denied one or more images: {told['reason']}")
        raise review.forbidden("one or more images rejected by webhook backend")

    def _unanswered(self, review: Review, error: ReviewFailed) -> None:
        log.debug("error contacting webhook backend: %s", error)
        if not self._policy.default_allow:
            raise review.forbidden(str(error))
        review.call.annotate(f"{_AUDIT}failed-open", "true")
        assert review.new is not None
        # Upstream changes the pod while it validates it, and so it is stored.
        metadata = review.new["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), FAILED_OPEN: "true"}


def render(pod: Mapping[str, Any], namespace: str, subresource: str = "") -> Object:
    """The spec of the review, without empty members: the images, and the annotations that are meant for the webhook."""
    images = [
        {"image": container["image"]} if container.get("image") else {}
        for section in _SECTIONS[subresource]
        for container in pod["spec"].get(section) or ()
    ]
    annotations = (pod["metadata"].get("annotations") or {}).items()
    spec: Object = {
        "containers": images,
        "annotations": {key: value for key, value in sorted(annotations) if _OF_USERS in key},
        "namespace": namespace,
    }
    return {key: value for key, value in spec.items() if value}
