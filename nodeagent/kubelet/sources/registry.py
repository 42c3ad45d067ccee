"""The node's pods from all sources, by uid and by name, and which of them stand for each other."""

from __future__ import annotations

from collections.abc import Callable

from apimachinery.meta.pods import MIRROR
from nodeagent.kubelet import pods
from nodeagent.kubelet.pods import Pod


class PodRegistry:
    """Every pod that the sources have. update, remove: told of pods to run, never of mirrors.

    pod_level_resources: the gate of that name is open; while it is closed, nobody here sees what pods ask for as a
    whole.
    """

    def __init__(self, *, pod_level_resources: bool = False) -> None:
        self._pod_level_resources = pod_level_resources
        self.update: Callable[[Pod], None] = lambda _: None
        self.remove: Callable[[str], None] = lambda _: None
        self.mirrors_changed: Callable[[], None] = lambda: None
        self._api: dict[str, Pod] = {}
        self._static: dict[str, Pod] = {}
        self._mirrors: dict[str, Pod] = {}
        self.static_read = False

    def all(self) -> list[Pod]:
        """The pods that run here, as their sources have them."""
        return [*self._static.values(), *self._api.values()]

    def static(self) -> list[Pod]:
        return list(self._static.values())

    def mirrors(self) -> list[Pod]:
        return list(self._mirrors.values())

    def get(self, uid: str) -> Pod | None:
        return self._api.get(uid) or self._static.get(uid)

    def by_name(self, namespace: str, name: str) -> Pod | None:
        """A pod that runs here, static ones first."""
        wanted = f"{name}_{namespace}"
        return next((pod for pod in self.all() if pods.full_name(pod) == wanted), None)

    def find(self, uid: str) -> Pod | None:
        """The pod to run for a uid of the API: a mirror's uid leads to its static pod."""
        mirror = next((mirror for mirror in self._mirrors.values() if pods.uid(mirror) == uid), None)
        if mirror is None:
            return self.get(uid)
        return self.by_name(mirror["metadata"]["namespace"], mirror["metadata"]["name"])

    def mirror_of(self, pod: Pod) -> Pod | None:
        return self._mirrors.get(pods.full_name(pod))

    def published(self, pod: Pod) -> Pod | None:
        """The API's object for a pod that runs here: itself, or its mirror if that is up to date."""
        if not pods.is_static(pod):
            return self._api.get(pods.uid(pod))
        mirror = self.mirror_of(pod)
        if mirror is None or pods.notes(mirror).get(MIRROR) != pods.notes(pod).get(pods.CONFIG_HASH):
            return None
        return mirror

    # --- from the API's informer

    def api_put(self, pod: Pod) -> None:
        pod = self._seen(pod)
        if pods.is_mirror(pod):
            self._mirrors[pods.full_name(pod)] = pod
            self.mirrors_changed()
            return
        self._api[pods.uid(pod)] = pod
        self.update(pod)

    def api_replaced(self, old: Pod, new: Pod) -> None:
        """One object became another under the same name when nobody was looking."""
        if pods.uid(old) != pods.uid(new):
            self.api_gone(old)
        self.api_put(new)

    def api_gone(self, pod: Pod) -> None:
        if pods.is_mirror(pod):
            self._mirrors.pop(pods.full_name(pod), None)
            self.mirrors_changed()
            return
        self._api.pop(pods.uid(pod), None)
        self.remove(pods.uid(pod))

    # --- from the directory of manifests

    def set_static(self, found: list[Pod]) -> None:
        """The directory's pods are these now."""
        fresh = {pods.uid(pod): self._seen(pod) for pod in found}
        gone = [uid for uid in self._static if uid not in fresh]
        # A file may say the uid itself: then another content is the same pod, asking for something else.
        changed = [pod for uid, pod in fresh.items() if self._static.get(uid) != pod]
        self._static = fresh
        self.static_read = True
        for uid in gone:
            self.remove(uid)
        for pod in changed:
            self.update(pod)
        self.mirrors_changed()

    def _seen(self, pod: Pod) -> Pod:
        if self._pod_level_resources or "resources" not in pod["spec"]:
            return pod
        return {**pod, "spec": {name: said for name, said in pod["spec"].items() if name != "resources"}}
