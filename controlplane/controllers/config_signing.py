"""Which authority signs for which signer: one for all, or each its own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from apimachinery.client.component import given
from apimachinery.kit.config import Problems
from apimachinery.kit.flags import FlagParser

SIGNERS = {
    "kubelet-serving": "kubernetes.io/kubelet-serving",
    "kubelet-client": "kubernetes.io/kube-apiserver-client-kubelet",
    "kube-apiserver-client": "kubernetes.io/kube-apiserver-client",
    "legacy-unknown": "kubernetes.io/legacy-unknown",
}
"""By what flags call them, the signers."""

Authorities = Mapping[str, tuple[Path, Path]]
"""By signer, the files of certificate and key."""


def add_flags(parser: FlagParser) -> None:
    """Those that `read_authorities` reads."""
    parser.add_argument("--cluster-signing-cert-file", type=_path)
    parser.add_argument("--cluster-signing-key-file", type=_path)
    for called, signer in SIGNERS.items():
        parser.add_argument(f"--cluster-signing-{called}-cert-file", type=_path, help=f"authority of {signer} alone")
        parser.add_argument(f"--cluster-signing-{called}-key-file", type=_path)


def read_authorities(args: argparse.Namespace, problems: Problems) -> Authorities:
    """As soon as one signer has files of its own, those without any sign nothing."""
    cert, key = args.cluster_signing_cert_file, args.cluster_signing_key_file
    if (cert is None) != (key is None):
        problems.add("--cluster-signing-cert-file", "needs --cluster-signing-key-file, and the reverse")
    own = {}
    for called, signer in SIGNERS.items():
        flag = f"--cluster-signing-{called}"
        pair = given(args, f"{flag}-cert-file"), given(args, f"{flag}-key-file")
        if pair == (None, None):
            continue
        own[signer] = pair
        if None in pair:
            told = "cannot specify key without cert" if pair[0] is None else "cannot specify cert without key"
            problems.add(f'"{flag.removeprefix("--")}"', told)
    if own and (cert is not None or key is not None):
        others = "other --cluster-signing-*-file flags at the same time"
        problems.add("--cluster-signing-cert-file", f"cannot specify --cluster-signing-{{cert,key}}-file and {others}")
    return own if own or cert is None or key is None else one_for_all(cert, key)


def one_for_all(cert: Path, key: Path) -> Authorities:
    """One authority signs for every signer."""
    return dict.fromkeys(SIGNERS.values(), (cert, key))


def _path(text: str) -> Path | None:
    return Path(text) if text else None
