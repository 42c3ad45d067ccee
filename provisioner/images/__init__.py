"""The images a lab is made of: the guest's disk, kernel and initrd, and the container images inside it.

Everything is built on this machine, from the package mirrors the machine itself is set up to use, and kept under
``$KUBELAB_HOME/images`` by a hash of everything that went in. Nothing here needs a container engine, a loop device or
hardware virtualization; mmdebstrap, e2fsprogs, qemu-utils, syslinux and mtools do the work.

What the rest of the provisioner uses::

    guest = ensure_guest_image(home, report)            # blocking; minutes the first time, milliseconds afterwards
    build_seed(path, hostname="worker-1", ...)          # one machine's identity, as a raw disk: attach as second disk
    bundle = compile_bundle(home, source_root)          # our packages with the guest's bytecode, unpack in
    /opt/kubelab/src
"""

from provisioner.images.box import build_box
from provisioner.images.bundle import compile_bundle
from provisioner.images.cache import ASKED_FOR, CachedImage, list_images, prune
from provisioner.images.cniclient import ensure_cni_client
from provisioner.images.containers import OciImage, ensure_oci_images
from provisioner.images.errors import ImageError, damage_explained
from provisioner.images.guest import GuestImage, ensure_guest_image
from provisioner.images.recipes import require_recipes
from provisioner.images.registry import load_image
from provisioner.images.seed import build_seed
from provisioner.images.tools import stoppable

__all__ = [
    "ASKED_FOR",
    "CachedImage",
    "GuestImage",
    "ImageError",
    "OciImage",
    "build_box",
    "build_seed",
    "compile_bundle",
    "damage_explained",
    "ensure_cni_client",
    "ensure_guest_image",
    "ensure_oci_images",
    "list_images",
    "load_image",
    "prune",
    "require_recipes",
    "stoppable",
]
