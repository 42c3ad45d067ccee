"""A real webhook beside the tests that answers TokenReviews and SubjectAccessReviews."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from tests.integration.admitting import Webhook


class Reviewer(Webhook):
    """Answers TokenReviews with what `people` says of the token, and SubjectAccessReviews with what `verdict` says of
    the user."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.people: dict[str, Any] = {}
        self.verdict: dict[str, Any] = {}

    def respond(self, review: Any) -> Any:
        spec = review["spec"]
        self.asked.append(review)
        if review["kind"] == "TokenReview":
            told = self.people.get(spec["token"], {"authenticated": False})
        else:
            told = self.verdict.get(spec["user"], {"allowed": False})
        return {"apiVersion": review["apiVersion"], "kind": review["kind"], "status": told}

    def kubeconfig(self, path: Path) -> Path:
        cluster = {
            "server": f"https://127.0.0.1:{self.server.server_port}/review",
            "certificate-authority-data": self.bundle,
        }
        document = {
            "clusters": [{"name": "webhook", "cluster": cluster}],
            "contexts": [{"name": "webhook", "context": {"cluster": "webhook"}}],
            "current-context": "webhook",
        }
        path.write_bytes(orjson.dumps(document))
        return path

    def of(self, kind: str) -> list[Any]:
        return [each for each in self.asked if each["kind"] == kind]
