"""The store that the configuration names, and how its health is asked for."""

from __future__ import annotations

import asyncio

from apimachinery.kit.clock import Clock
from controlplane.apiserver.config import Config
from controlplane.apiserver.encryption.current import Current
from controlplane.apiserver.encryption.storage import EncryptedStorage
from controlplane.apiserver.front.health import Check
from controlplane.apiserver.storage.interface import Storage, Unavailable
from controlplane.apiserver.storage.keys import ROOT, root


async def open_storage(config: Config, clock: Clock) -> Storage:
    """The store that the configuration names, encrypted if it says so. Raises StorageError, OSError."""
    plain, file = await _open_plain(config, clock), config.encryption_provider_config
    if (begin := root(config.etcd_prefix)) != ROOT:
        from controlplane.apiserver.storage.prefixed import PrefixedStorage  # which few servers need

        plain = PrefixedStorage(plain, begin)
    if file is None:
        return plain
    providers = Current(file, clock, reload=config.encryption_reload)
    await providers.start()
    return EncryptedStorage(plain, providers, begin)


def answers_within(seconds: float, storage: Storage) -> Check:
    """Whoever asks for health wants to know soon; requests may wait longer for the store."""

    async def check() -> None:
        try:
            async with asyncio.timeout(seconds):
                await storage.healthy()
        except TimeoutError:
            raise Unavailable("error getting data from etcd: context deadline exceeded") from None

    return check


def plugins_checked(storage: Storage) -> dict[str, Check]:
    """The check of KMS plug-ins, where there are any or may come: one for all, as upstream where none is of KMS v1."""
    if isinstance(storage, EncryptedStorage) and isinstance(storage.configured, Current) and storage.configured.probed:
        return {"kms-providers": storage.configured.check}
    return {}


async def _open_plain(config: Config, clock: Clock) -> Storage:
    if config.storage_sqlite is not None:
        from controlplane.apiserver.storage.sqlite import SqliteStorage

        return await SqliteStorage.open(config.storage_sqlite, clock)
    # Loads protobuf, which the embedded store does not need.
    from controlplane.apiserver.storage.etcd import EtcdStorage
    from controlplane.apiserver.storage.etcd_client import EtcdTls

    tls_files = None
    if config.etcd_cafile is not None:
        tls_files = EtcdTls(config.etcd_cafile, config.etcd_certfile, config.etcd_keyfile)
    return await EtcdStorage.open(config.etcd_servers, tls=tls_files, clock=clock)
