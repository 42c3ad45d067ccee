"""CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may do what with which signer."""

from __future__ import annotations

import base64
import binascii

from controlplane.apiserver.admission.chain import Plugin, Review

_GROUP, _PLURAL = "certificates.k8s.io", "certificatesigningrequests"
_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"
_MASTERS = "system:masters"


async def may(review: Review, verb: str, signer: str) -> bool:
    """Whether the user may `approve` or `sign` for a signer: by its name, or by `DOMAIN/*`."""
    domain = signer.partition("/")[0]
    for name in (signer, f"{domain}/*"):
        if await review.call.allowed(verb, _GROUP, "signers", name=name):
            return True
    return False


class CertificateApproval(Plugin):
    """plugin/pkg/admission/certificates/approval."""

    name = "CertificateApproval"
    about = frozenset({(_GROUP, _PLURAL)})

    async def validate(self, review: Review) -> None:
        if review.operation != "UPDATE" or not review.is_for(_GROUP, _PLURAL, "approval"):
            return
        # The stored signer, whatever the request would make of it.
        signer = ((review.old or {}).get("spec") or {}).get("signerName") or ""
        if not await may(review, "approve", signer):
            raise review.forbidden(f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning(Plugin):
    """plugin/pkg/admission/certificates/signing."""

    name = "CertificateSigning"
    about = frozenset({(_GROUP, _PLURAL)})

    async def validate(self, review: Review) -> None:
        if review.operation != "UPDATE" or not review.is_for(_GROUP, _PLURAL, "status"):
            return
        new, old = ((each or {}).get("status") or {} for each in (review.new, review.old))
        if all((new.get(field) or None) == (old.get(field) or None) for field in ("certificate", "conditions")):
            return
        signer = ((review.old or {}).get("spec") or {}).get("signerName") or ""
        if not await may(review, "sign", signer):
            raise review.forbidden(f'user not permitted to sign requests with signerName "{signer}"')


class CertificateSubjectRestriction(Plugin):
    """plugin/pkg/admission/certificates/subjectrestriction."""

    name = "CertificateSubjectRestriction"
    about = frozenset({(_GROUP, _PLURAL)})

    async def validate(self, review: Review) -> None:
        if review.operation != "CREATE" or not review.is_for(_GROUP, _PLURAL):
            return
        spec = (review.new or {}).get("spec") or {}
        if spec.get("signerName") != _CLIENT_SIGNER:
            return
        from cryptography import x509  # 20 ms, for what few servers ever see

        try:
            request = x509.load_pem_x509_csr(base64.b64decode(spec.get("request") or "", validate=True))
        except (ValueError, binascii.Error):
            raise review.forbidden("failed to parse CSR: PEM block type must be CERTIFICATE REQUEST") from None
        groups = request.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
        if any(group.value == _MASTERS for group in groups):
            raise review.forbidden(f"use of {_CLIENT_SIGNER} signer with {_MASTERS} group is not allowed")
