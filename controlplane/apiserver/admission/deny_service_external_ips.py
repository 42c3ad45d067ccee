"""DenyServiceExternalIPs: nobody draws others' traffic to a Service by claiming their address (CVE-2020-8554)."""

from __future__ import annotations

from controlplane.apiserver.admission.chain import Plugin, Review


class DenyServiceExternalIPs(Plugin):
    """plugin/pkg/admission/network/denyserviceexternalips."""

    name = "DenyServiceExternalIPs"
    about = frozenset({("", "services")})

    async def validate(self, review: Review) -> None:
        if review.operation not in ("CREATE", "UPDATE") or not review.is_for("", "services"):
            return
        new, old = (set(((each or {}).get("spec") or {}).get("externalIPs") or ()) for each in (review.new, review.old))
        if not new <= old:
            raise review.forbidden("Use of external IPs is denied by admission control")
