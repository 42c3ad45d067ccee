"""The certificate of a connection, read once: `apimachinery/kit/handshake.py` says why it need not hold."""

from __future__ import annotations

import asyncio
import ssl
import weakref

from apimachinery.kit.handshake import is_verified
from controlplane.apiserver.authn.certificates import Peer, peer

_peers: weakref.WeakKeyDictionary[ssl.SSLObject, Peer] = weakref.WeakKeyDictionary()


def peer_of(transport: asyncio.BaseTransport) -> Peer | None:
    """The certificate that the client of a connection showed, or None. Computed once a connection."""
    session: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if session is None:
        return None
    known = _peers.get(session)
    if known is None:
        der = session.getpeercert(binary_form=True)
        cert = session.getpeercert()
        if not der or not cert:
            return None
        known = _peers[session] = peer(cert, der, verified=is_verified(session))
    return known
