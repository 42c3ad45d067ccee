"""What /metrics tells of the store."""

from pathlib import Path

from apimachinery.api.catalogue import Catalogue
from apimachinery.kit.clock import ManualClock
from apimachinery.kit.metrics import REGISTRY
from controlplane.apiserver.registry.object_counts import ObjectCounts
from controlplane.apiserver.storage.sqlite import SqliteStorage


async def test_the_size_is_told_while_it_is_known(tmp_path: Path) -> None:
    def told() -> float | None:
        return REGISTRY.get_sample_value("apiserver_storage_size_bytes", {"storage_cluster_id": "etcd-0"})

    clock = ManualClock()
    storage = await SqliteStorage.open(tmp_path / "db", clock)
    counts, nothing = ObjectCounts(storage, clock), Catalogue(())
    await counts.update(nothing)
    before = told()
    assert before is not None and before >= 4096
    for number in range(8):
        await storage.create(f"/registry/configmaps/default/{number}", b"x" * 65536)
    await counts.update(nothing)
    after = told()
    assert after is not None and after >= before + 8 * 65536, "it is looked at each time, unlike the objects"
    await storage.close()
    await counts.update(nothing)
    assert told() is None
