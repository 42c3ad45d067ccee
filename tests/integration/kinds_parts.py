"""How a kind is described for the tests of every kind, and the parts that several of them are made of."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """`body` is stored and reads back with at least `stored`; with the fields of `wrong` it is refused, with `text`
    after "… is invalid: ". `prefix`: what the object's name begins with where the kind asks for something."""

    api_version: str
    kind: str
    body: Object
    stored: Object
    wrong: Object
    text: str
    name: str = "minimal"
    annotations: Object = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.api_version}.{self.kind}"


def signing_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


LABELS = {"app": "minimal"}
CONTAINER = {"name": "c", "image": "registry.example/c:1"}
POD = {"containers": [CONTAINER], "nodeName": "nowhere"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER], "nodeSelector": {"no": "node"}}}
JOB = {"template": {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}, "suspend": True}
SELECTED = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
DEFAULTED_CONTAINER = {
    **CONTAINER,
    "imagePullPolicy": "IfNotPresent",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
DEFAULTED_POD = {
    "containers": [DEFAULTED_CONTAINER],
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
DEFAULTED_TEMPLATE = {"metadata": {"labels": LABELS}, "spec": DEFAULTED_POD}
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["widgets"]}
HOOK = {
    "name": "a.b.c",
    "clientConfig": {"url": "https://127.0.0.1:1/x"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "rules": [RULE],
    "failurePolicy": "Ignore",
}
DEFAULTED_HOOK = {
    "timeoutSeconds": 10,
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "rules": [{**RULE, "scope": "*"}],
}
FLOW_RULE = {
    "subjects": [{"kind": "User", "user": {"name": "u"}}],
    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}],
}
SELECTOR_MISMATCH = 'Invalid value: map[string]string{"app":"minimal"}: `selector` does not match template `labels`'
OTHER = {"matchLabels": {"app": "other"}}
