"""The three patches of the API: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386), strategic merge patch.

Each returns a new document and mutates nothing, but for `strategic_merge_into`. `PatchError` tells of a patch that is
malformed (`malformed` is True: the API answers 400) or that does not apply to this document (422).
"""

from apimachinery.meta.patches.errors import PatchError
from apimachinery.meta.patches.merge import diff_merge, merge_patch
from apimachinery.meta.patches.operations import MAX_OPERATIONS, json_patch
from apimachinery.meta.patches.strategic import (
    FieldMeta,
    PatchMeta,
    is_directive,
    strategic_merge,
    strategic_merge_into,
)

__all__ = [
    "MAX_OPERATIONS",
    "FieldMeta",
    "PatchError",
    "PatchMeta",
    "diff_merge",
    "is_directive",
    "json_patch",
    "merge_patch",
    "strategic_merge",
    "strategic_merge_into",
]
