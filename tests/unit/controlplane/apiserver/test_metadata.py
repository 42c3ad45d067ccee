"""What the server itself writes into metadata."""

from __future__ import annotations

import uuid

from controlplane.apiserver.registry.metadata import new_uid


def test_uids_are_random_uuids() -> None:
    made = [new_uid() for _ in range(200)]
    assert len(set(made)) == 200
    for text in made:
        read = uuid.UUID(text)
        assert str(read) == text
        assert (read.version, read.variant) == (4, uuid.RFC_4122)
