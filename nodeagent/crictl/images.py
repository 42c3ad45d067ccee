"""`crictl images`, `inspecti`, `pull`, `rmi` and `imagefsinfo`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .client import get
from .complaints import Failed, say
from .listing import labels_of
from .output import info_line, print_message, print_statuses, status_entry
from .rpc import CallFailed
from .sandboxes import for_each
from .tables import short, size, table

if TYPE_CHECKING:
    from .codec import Message
    from .options import Options
    from .session import Session

_NONE = "<none>"
_STATUS_FAILED = 'image status request for "{}" failed'


def list_images(session: Session, name: str, filters: tuple[str, ...]) -> list[Message]:
    """Images by name. Raises Failed for a filter that cannot be, CallFailed."""
    found = session.images.call("ListImages", {"filter": {"image": {"image": name}}})["images"]
    images = sorted(found, key=lambda image: (image["repo_tags"] or image["repo_digests"] or [image["id"]])[0])
    for each in filters:
        key, _, wanted = each.partition("=")
        if key == "dangling":
            images = [image for image in images if wanted == ("false" if image["repo_tags"] else "true")]
        elif key == "reference":
            images = [image for image in images if _refers(image, wanted)]
        elif key == "before":
            images = list(reversed(_until(list(reversed(images)), wanted)))
        elif key == "since":
            images = _until(images, wanted)
        else:
            raise Failed(f"filter images: unknown filter flag: {each}")
    return images


def _refers(image: Message, pattern: str) -> bool:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise Failed(f"filter images: {error}") from None
    pairs, _, repository = names(image)
    # An image that was imported has no digest; upstream finds it by no name then.
    repositories = {name for name, _ in pairs} if repository == _NONE else {repository}
    return any(compiled.search(each) or each == pattern for each in repositories)


def _until(images: list[Message], wanted: str) -> list[Message]:
    """Those in front of the image that is named."""
    found = []
    for image in images:
        names = (*image["repo_tags"], *image["repo_digests"])
        if wanted in names or (":" not in wanted and image["id"].removeprefix("sha256:").startswith(wanted)):
            break
        found.append(image)
    return found


def names(image: Message) -> tuple[list[tuple[str, str]], str, str]:
    """((repository, tag) of every tag, digest, the digest's repository)."""
    repository = digest = _NONE
    if image["repo_digests"]:
        repository, sign, digest = image["repo_digests"][0].partition("@")
        if not sign:
            repository, digest = "errorName", "errorRepoDigest"
    pairs = []
    for tag in image["repo_tags"]:
        name, sign, text = tag.rpartition(":")
        pairs.append((repository if name == _NONE else name, text) if sign else ("errorRepoTag", "errorRepoTag"))
    return pairs or [(repository, _NONE)], digest, repository


def images(options: Options, session: Session) -> int:
    """`crictl images`."""
    if len(options.arguments) > 1:
        return session.help()
    try:
        found = list_images(session, "".join(options.arguments), tuple(options["filter"]))
    except (Failed, CallFailed) as error:
        raise Failed(f"listing images: {error}") from None
    if print_message("ListImagesResponse", {"images": found}, options["output"]):
        return 0
    if options["quiet"]:
        print("".join(f"{image['id']}\n" for image in found), end="")
        return 0
    if options["verbose"]:
        for image in found:
            print("\n".join(_image_lines(image)) + "\n")
        return 0
    digests, pinned = options["digests"], options["pinned"]
    rows = [
        ["IMAGE", "TAG", *(["DIGEST"] if digests else []), "IMAGE ID", "SIZE", *(["PINNED"] if pinned else [])],
    ]
    for image in found:
        pairs, digest, _ = names(image)
        whole = options["no-trunc"]
        for repository, tag in pairs:
            row = [repository, tag, *([digest if whole else short(digest, "sha256:")] if digests else [])]
            row += [image["id"] if whole else short(image["id"], "sha256:"), size(image["size"], 3)]
            rows.append(row + ([str(image["pinned"]).lower()] if pinned else []))
    print(table(rows), end="")
    return 0


def _image_lines(image: Message) -> list[str]:
    lines = [f"ID: {image['id']}"]
    lines += [f"RepoTags: {tag}" for tag in image["repo_tags"]]
    lines += [f"RepoDigests: {digest}" for digest in image["repo_digests"]]
    if image["size"]:
        lines.append(f"Size: {image['size']}")
    if image.get("uid") is not None:
        lines.append(f"Uid: &Int64Value{{Value:{image['uid']['value']},}}")
    if image["username"]:
        lines.append(f"Username: {image['username']}")
    if image["pinned"]:
        lines.append("Pinned: true")
    return lines


def inspecti(options: Options, session: Session) -> int:
    """`crictl inspecti`."""
    form, verbose = options["output"] or "json", not options["quiet"]
    ids = options.arguments
    if not ids:
        try:
            ids = [image["id"] for image in list_images(session, options["name"], tuple(options["filter"]))]
        except (Failed, CallFailed) as error:
            raise Failed(f"listing images: {error}") from None
    if not ids:
        say("error", "No IDs provided or nothing found per filter")
        return session.help()
    found: list[dict[str, Any]] = []
    for each in ids:
        image, info = _status(session, each, 'image status for "{}" request', verbose=verbose)
        if image is None:
            raise Failed(f'no such image "{each}" present')
        if form == "table":
            lines = [f"ID: {image['id']}", *(f"Tag: {tag}" for tag in image["repo_tags"])]
            lines += [f"Digest: {digest}" for digest in image["repo_digests"]]
            lines.append(f"Size: {size(image['size'], 3)}")
            print("\n".join([*lines, info_line(info)] if verbose else lines))
        else:
            found.append(status_entry("Image", image, info))
    print_statuses(found, form, options["template"])
    return 0


def _status(
    session: Session, image: str, sentence: str, *, verbose: bool = False
) -> tuple[Message | None, dict[str, str]]:
    try:
        answer = session.images.call("ImageStatus", {"image": {"image": image}, "verbose": verbose})
    except CallFailed as error:
        raise Failed(f"{sentence.format(image)}: {error}") from None
    return answer.get("image"), answer["info"]


def pull(options: Options, session: Session) -> int:
    """`crictl pull`."""
    if not options.arguments:
        raise Failed("image name cannot be empty")
    if len(options.arguments) > 1:
        return session.help()
    from .files import pod_config

    around = pod_config(options["pod-config"]) if "pod-config" in options.given else None
    image = {"image": options.arguments[0], "annotations": labels_of(options["annotation"])}
    try:
        reference = pull_image(session, image, credentials(options), around, options["pull-timeout"])
    except CallFailed as error:
        raise Failed(f"pulling image: {error}") from None
    print(f"Image is up to date for {reference}")
    return 0


def pull_image(session: Session, image: Message, auth: Message | None, sandbox: Message | None, patience: float) -> str:
    """Pull; what the runtime calls the image. patience: seconds, 0 for no limit. Raises Failed, CallFailed."""
    if patience < 0:
        raise Failed("timeout should be bigger than 0")
    request = {"image": image, "auth": auth, "sandbox_config": sandbox}
    return str(session.images.call("PullImage", request, timeout=patience)["image_ref"])


def credentials(options: Options) -> Message | None:
    """What the flags say for the registry; a password that is missing is asked for. Raises Failed."""
    if options["username"]:
        from getpass import getpass

        return {"username": options["username"], "password": getpass("Enter Password:")}
    if options["creds"] and options["auth"]:
        raise Failed("both `--creds` and `--auth` are specified")
    if options["creds"]:
        user, sign, password = options["creds"].partition(":")
        if sign and not user:
            raise Failed("username can't be empty")
        return {"username": user, "password": password}
    return {"auth": options["auth"]} if options["auth"] else None


def remove(options: Options, session: Session) -> int:
    """`crictl rmi`."""
    everything, prune = options["all"], options["prune"]
    ids = dict.fromkeys(options.arguments)
    if everything or prune:
        for image in session.images.call("ListImages")["images"]:
            if not (prune and image["pinned"]):
                ids[image["id"]] = None
    if prune:
        for container in session.runtime.call("ListContainers")["containers"]:
            try:
                used, _ = _status(session, get(container, "image", "image") or "", _STATUS_FAILED)
            except Failed as error:
                say("error", str(error))
                continue
            if used is not None:
                ids.pop(used["id"], None)
    if not ids:
        if everything or prune:
            say("info", "No images to remove")
            return 0
        return session.help()

    def one(each: str) -> None:
        image, _ = _status(session, each, _STATUS_FAILED)
        if image is None:
            raise Failed(f"no such image {each}")
        try:
            session.images.call("RemoveImage", {"image": {"image": each}})
        except CallFailed as error:
            if prune:
                return
            raise Failed(f'error of removing image "{each}": {error}') from None
        for name in image["repo_tags"] or image["repo_digests"]:
            print(f"Deleted: {name}")

    return for_each(list(ids), one)


def filesystems(options: Options, session: Session) -> int:
    """`crictl imagefsinfo`."""
    try:
        answer = session.images.call("ImageFsInfo")
    except CallFailed as error:
        raise Failed(f"image filesystem info request: {error}") from None
    if options["output"] != "table":
        print_statuses(
            [status_entry("ImageFsInfoResponse", answer, {})], options["output"] or "json", options["template"]
        )
        return 0
    for title, field in (("Container", "container_filesystems"), ("Image", "image_filesystems")):
        print(f"{title} Filesystem ")
        for index, each in enumerate(answer[field]):
            print(f"TimeStamp[{index}]: {each['timestamp']}")
            print(f"Disk[{index}]: {size(get(each, 'used_bytes', 'value') or 0)}")
            print(f"Inodes[{index}]: {get(each, 'inodes_used', 'value') or 0}")
            print(f"Mountpoint[{index}]: {get(each, 'fs_id', 'mountpoint') or ''}")
    return 0
