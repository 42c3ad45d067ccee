"""kube-proxy: `python -m nodeagent.proxy --kubeconfig FILE --hostname-override NODE --cluster-cidr CIDR`.

On a node it is started as `nodeagent.kube_proxy`, with the agent of the CNI plugins and NetworkPolicies beside it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from apimachinery.client.config import load_kubeconfig
from apimachinery.kit import logs, process
from apimachinery.kit.commands import CommandError
from apimachinery.kit.config import or_exit
from apimachinery.kit.tasks import problems_logged, run_daemon
from apimachinery.meta.go_print import quoted

from . import cleanup, wire
from .config import Config, parse

log = logging.getLogger(__name__)


def main(
    argv: Sequence[str] | None = None,
    cni_agent: wire.CniAgent | None = None,
    policies: wire.Policies | None = None,
    announcer: wire.Announcer | None = None,
    clean_up_policies: Callable[[], Coroutine[Any, Any, None]] | None = None,
) -> int:
    """cni_agent: serves the plugins on a socket while it is entered. policies: enforces NetworkPolicies while it runs.
    announcer: answers for addresses of load balancers while it runs.

    Returns the exit code: 0 after SIGTERM or a cleanup, 1 for a failure or a bad configuration."""
    argv = sys.argv[1:] if argv is None else argv
    with or_exit("kube-proxy"), problems_logged():
        config = parse(argv)
        client = None if config.kubeconfig is None or config.cleanup else load_kubeconfig(config.kubeconfig)
    logs.setup(config.verbosity)
    if config.lenient:
        log.info('"Using lenient decoding as strict decoding failed" err=%s', quoted(config.lenient))
    process.set_title("kube-proxy", argv)
    if client is not None:
        tell(config)
        process.set_oom_score_adj(config.oom_score_adj)
        return run_daemon(wire.build(config, client, cni_agent, policies, announcer).run)
    try:
        asyncio.run(cleanup.clean_up(config.cni_conf_dir, config.cni_data_dir))
        if clean_up_policies is not None:
            asyncio.run(clean_up_policies())
    except (CommandError, OSError) as error:
        print(f"kube-proxy: {error}", file=sys.stderr)
        return 1
    return 0


def tell(config: Config) -> None:
    """As upstream's log begins: how far node ports reach, and what makes the rules."""
    if not config.node_port_addresses:
        why = "nodePortAddresses is unset; NodePort connections will be accepted on all local IPs. "
        why += "Consider using `--nodeport-addresses primary`"
        log.error('"Kube-proxy configuration may be incomplete or incorrect" err=%s', quoted(why))
    log.info('"Using %s Proxier"', config.mode)
