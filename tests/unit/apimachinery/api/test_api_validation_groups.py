"""Semantic validation of networking, autoscaling, policy, flow control, registration and certificates."""

from base64 import b64encode
from copy import deepcopy

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from apimachinery.api import defaults
from apimachinery.api.catalogue import CATALOGUE
from apimachinery.api.validation import (
    validate_access_review,
    validate_approval,
    validate_create,
    validate_status_update,
    validate_update,
)


def _object(resource, /, _name="a", **fields):
    metadata = {"name": _name, "resourceVersion": "1"}
    if resource.namespaced:
        metadata["namespace"] = "default"
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **deepcopy(fields)}
    defaults.apply(resource, body)
    return body


def _resource(api_version, kind):
    found = CATALOGUE.by_kind(api_version, kind)
    assert found is not None
    return found


def _texts(problems):
    return [str(problem) for problem in problems]


POLICY = _resource("networking.k8s.io/v1", "NetworkPolicy")
INGRESS = _resource("networking.k8s.io/v1", "Ingress")
INGRESS_CLASS = _resource("networking.k8s.io/v1", "IngressClass")
HPA = _resource("autoscaling/v2", "HorizontalPodAutoscaler")
PDB = _resource("policy/v1", "PodDisruptionBudget")
PRIORITY = _resource("scheduling.k8s.io/v1", "PriorityClass")
RUNTIME = _resource("node.k8s.io/v1", "RuntimeClass")
SCHEMA = _resource("flowcontrol.apiserver.k8s.io/v1", "FlowSchema")
LEVEL = _resource("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration")
MUTATING = _resource("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
ADMISSION = _resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
BINDING = _resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding")
APISERVICE = _resource("apiregistration.k8s.io/v1", "APIService")
CSR = _resource("certificates.k8s.io/v1", "CertificateSigningRequest")
REVISION = _resource("apps/v1", "ControllerRevision")
NAMESPACE = _resource("v1", "Namespace")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"podSelector": {}}, []),
        (
            {"podSelector": {}, "ingress": [{"from": [{}]}]},
            ["spec.ingress[0].from[0]: Required value: must specify a peer"],
        ),
        (
            {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}]},
            ['spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/9": must be a strict subset of `cidr`'],
        ),
        (
            {"podSelector": {}, "egress": [{"to": [{"ipBlock": {}}]}]},
            ["spec.egress[0].to[0].ipBlock.cidr: Required value"],
        ),
        (
            {"podSelector": {}, "ingress": [{"ports": [{"port": 90, "endPort": 80, "protocol": "ICMP"}]}]},
            [
                'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
                "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
            ],
        ),
        (
            {"podSelector": {}, "ingress": [{"ports": [{"port": "web", "endPort": 80}]}]},
            ["spec.ingress[0].ports[0].endPort: Invalid value: 80: may not be specified when `port` is non-numeric"],
        ),
        (
            {"podSelector": {}, "policyTypes": ["Both"]},
            ['spec.policyTypes[0]: Unsupported value: "Both": supported values: "Ingress", "Egress"'],
        ),
    ],
    ids=str,
)
def test_network_policies(spec, expected):
    assert _texts(validate_create(POLICY, _object(POLICY, spec=spec))) == expected


def _paths(path="/", kind="Prefix", **backend):
    backend = backend or {"service": {"name": "web", "port": {"number": 80}}}
    return {"http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"rules": [_paths()]}, []),
        (
            {},
            [
                "spec: Invalid value: []networking.IngressRule(nil): either `defaultBackend` or `rules` must be "
                "specified"
            ],
        ),
        ({"rules": [{"host": "1.2.3.4", **_paths()}]}, None),
        (
            {"rules": [_paths("a/../b")]},
            [
                'spec.rules[0].http.paths[0].path: Invalid value: "a/../b": must be an absolute path',
                "spec.rules[0].http.paths[0].path: Invalid value: \"a/../b\": must not contain '/../'",
            ],
        ),
        (
            {"rules": [_paths("/", "Regex")]},
            [
                'spec.rules[0].http.paths[0].pathType: Unsupported value: "Regex": supported values: "Exact", '
                '"ImplementationSpecific", "Prefix"'
            ],
        ),
        (
            {"rules": [_paths(service={"name": "web"})]},
            ["spec.rules[0].http.paths[0].backend: Required value: port name or number is required"],
        ),
        (
            {"defaultBackend": {}},
            ['spec.defaultBackend: Invalid value: "": resource or service backend is required'],
        ),
        ({"rules": [{"http": {"paths": []}}]}, ["spec.rules[0].http.paths: Required value"]),
        (
            {"defaultBackend": {"resource": {"apiGroup": "x.y", "kind": "", "name": "n"}}},
            ["spec.defaultBackend.resource.kind: Required value: kind is required"],
        ),
    ],
    ids=str,
)
def test_ingresses(spec, expected):
    found = _texts(validate_create(INGRESS, _object(INGRESS, spec=spec)))
    if expected is None:
        assert found == ['spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address']
    else:
        assert found == expected


def test_an_ingress_class_keeps_its_controller():
    old = _object(INGRESS_CLASS, spec={"controller": "a.io/b"})
    new = _object(INGRESS_CLASS, spec={"controller": "a.io/c"})
    assert validate_create(INGRESS_CLASS, old) == []
    assert _texts(validate_update(INGRESS_CLASS, new, old)) == [
        'spec.controller: Invalid value: "a.io/c": field is immutable'
    ]
    bad = _object(INGRESS_CLASS, spec={"controller": "plain", "parameters": {"kind": "k", "name": "n", "scope": "Any"}})
    assert _texts(validate_create(INGRESS_CLASS, bad)) == [
        'spec.controller: Invalid value: "plain": must be a domain-prefixed path (such as "acme.io/foo")',
        'spec.parameters.scope: Unsupported value: "Any": supported values: "Cluster", "Namespace"',
    ]


_SCALED = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (_SCALED, []),
        (
            {**_SCALED, "minReplicas": 0},
            [
                "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to "
                "zero replicas",
            ],
        ),
        (
            {**_SCALED, "minReplicas": 5},
            ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
        ),
        (
            {"scaleTargetRef": {}, "maxReplicas": 1},
            ["spec.scaleTargetRef.kind: Required value", "spec.scaleTargetRef.name: Required value"],
        ),
        (
            {**_SCALED, "metrics": [{"type": "Pods"}]},
            ["spec.metrics[0].pods: Required value: must populate information for the given metric source"],
        ),
        (
            {**_SCALED, "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Value"}}}]},
            [
                "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw "
                "value or a target utilization"
            ],
        ),
        (
            {
                **_SCALED,
                "behavior": {"scaleDown": {"policies": [{"type": "Nodes", "value": 0, "periodSeconds": 2000}]}},
            },
            [
                'spec.behavior.scaleDown.policies[0].type: Unsupported value: "Nodes": supported values: "Percent", '
                '"Pods"',
                "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
                "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 2000: must be less than or equal "
                "to 1800",
            ],
        ),
    ],
    ids=str,
)
def test_autoscalers(spec, expected):
    assert _texts(validate_create(HPA, _object(HPA, spec=spec))) == expected


def test_disruption_budgets():
    good = _object(PDB, spec={"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}})
    assert validate_create(PDB, good) == []
    bad = _object(PDB, spec={"maxUnavailable": "120%", "unhealthyPodEvictionPolicy": "Never"})
    assert _texts(validate_create(PDB, bad)) == [
        'spec.maxUnavailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:"120%"}: must not be greater '
        "than 100%",
        'spec.unhealthyPodEvictionPolicy: Unsupported value: "Never": supported values: "AlwaysAllow", '
        '"IfHealthyBudget"',
    ]
    counted = {**good, "status": {"expectedPods": -1, "conditions": [{"type": "a", "status": "Maybe"}]}}
    assert _texts(validate_status_update(PDB, counted, good)) == [
        'status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
        "status.conditions[0].lastTransitionTime: Required value: must be set",
        "status.conditions[0].reason: Required value: must be set",
        "status.expectedPods: Invalid value: -1: must be greater than or equal to 0",
    ]


def test_priority_classes():
    assert validate_create(PRIORITY, _object(PRIORITY, value=1_000_000_000)) == []
    assert validate_create(PRIORITY, _object(PRIORITY, "system-node-critical", value=2_000_001_000)) == []
    assert _texts(validate_create(PRIORITY, _object(PRIORITY, "system-mine", value=1))) == [
        "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
        "system-mine is not a known system priority class"
    ]
    assert _texts(validate_create(PRIORITY, _object(PRIORITY, value=1_000_000_001))) == [
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"
    ]
    changed = _object(PRIORITY, value=2, preemptionPolicy="Never")
    assert _texts(validate_update(PRIORITY, changed, _object(PRIORITY, value=1))) == [
        "value: Forbidden: may not be changed in an update.",
        'preemptionPolicy: Invalid value: "Never": field is immutable',
    ]


def test_runtime_classes():
    assert validate_create(RUNTIME, _object(RUNTIME, handler="runc", overhead={"podFixed": {"cpu": "1"}})) == []
    twice = [{"key": "k", "operator": "Exists"}] * 2
    assert _texts(validate_create(RUNTIME, _object(RUNTIME, handler="runc", scheduling={"tolerations": twice}))) == [
        'scheduling.tolerations[1]: Duplicate value: core.Toleration{Key:"k", Operator:"Exists", Value:"", Effect:"", '
        "TolerationSeconds:(*int64)(nil)}"
    ]
    assert _texts(validate_update(RUNTIME, _object(RUNTIME, handler="kata"), _object(RUNTIME, handler="runc"))) == [
        'handler: Invalid value: "kata": field is immutable'
    ]


_RULE = {
    "subjects": [{"kind": "User", "user": {"name": "u"}}],
    "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz"]}],
}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"priorityLevelConfiguration": {"name": "l"}, "rules": [_RULE]}, []),
        (
            {"matchingPrecedence": 1},
            [
                "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have "
                "matchingPrecedence 1",
                "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
            ],
        ),
        (
            {"priorityLevelConfiguration": {"name": "l"}, "rules": [{}]},
            [
                "spec.rules[0].subjects: Required value: subjects must contain at least one value",
                "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
            ],
        ),
        (
            {
                "priorityLevelConfiguration": {"name": "l"},
                "rules": [{**_RULE, "subjects": [{"kind": "Group", "user": {"name": "u"}}]}],
            },
            [
                "spec.rules[0].subjects[0].group: Required value: group is required when subject kind is 'Group'",
                "spec.rules[0].subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'",
            ],
        ),
    ],
    ids=str,
)
def test_flow_schemas(spec, expected):
    assert _texts(validate_create(SCHEMA, _object(SCHEMA, spec=spec))) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}, []),
        ({"type": "Limited"}, ["spec.limited: Required value: must not be empty when type is Limited"]),
        (
            {"type": "Exempt"},
            ["spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"],
        ),
        (
            {
                "type": "Limited",
                "limited": {"limitResponse": {"type": "Queue", "queuing": {"queues": 4, "handSize": 8}}},
            },
            ["spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"],
        ),
        (
            {"type": "Limited", "limited": {"lendablePercent": 101, "limitResponse": {}}},
            [
                "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
                'spec.limited.limitResponse.type: Unsupported value: "": supported values: "Queue", "Reject"',
            ],
        ),
    ],
    ids=str,
)
def test_priority_levels(spec, expected):
    assert _texts(validate_create(LEVEL, _object(LEVEL, spec=spec))) == expected


_HOOK = {
    "name": "a.b.c",
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "clientConfig": {"url": "https://host/path"},
}


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (_HOOK, []),
        (
            {**_HOOK, "name": "short"},
            ['name: Invalid value: "short": should be a domain with at least three segments separated by dots'],
        ),
        (
            {"name": "a.b.c"},
            [
                "sideEffects: Required value: must specify one of None, NoneOnDryRun",
                "clientConfig: Required value: exactly one of url or service is required",
                "admissionReviewVersions: Required value: must specify one of v1, v1beta1",
            ],
        ),
        (
            {**_HOOK, "clientConfig": {"url": "http://u@h?x#y"}},
            [
                "clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: "
                "https://host[/path]",
                'clientConfig.url: Invalid value: "u": user information is not permitted in the URL',
                'clientConfig.url: Invalid value: "y": fragments are not permitted in the URL',
                'clientConfig.url: Invalid value: "x": query parameters are not permitted in the URL',
            ],
        ),
        (
            {
                **_HOOK,
                "timeoutSeconds": 31,
                "rules": [{"operations": ["GET"], "apiGroups": ["*"], "apiVersions": ["*"]}],
            },
            [
                'rules[0].operations[0]: Unsupported value: "GET": supported values: "*", "CONNECT", "CREATE", '
                '"DELETE", "UPDATE"',
                "rules[0].resources: Required value",
                "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            ],
        ),
        (
            {**_HOOK, "admissionReviewVersions": ["v9"]},
            ['admissionReviewVersions: Invalid value: []string{"v9"}: must include at least one of v1, v1beta1'],
        ),
    ],
    ids=str,
)
def test_webhooks(hook, expected):
    found = _texts(validate_create(MUTATING, _object(MUTATING, webhooks=[hook])))
    assert found == [f"webhooks[0].{text}" for text in expected]


_MATCH = {
    "resourceRules": [
        {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]},
    ]
}


def test_admission_policies():
    good = {"matchConstraints": _MATCH, "validations": [{"expression": "true"}]}
    assert validate_create(ADMISSION, _object(ADMISSION, spec=good)) == []
    text = "Required value: validations or auditAnnotations must contain at least one item"
    assert _texts(validate_create(ADMISSION, _object(ADMISSION, spec={"paramKind": {"apiVersion": "a/b/c"}}))) == [
        'spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
        "spec.paramKind.kind: Required value",
        "spec.matchConstraints: Required value",
        f"spec.validations: {text}",
        f"spec.auditAnnotations: {text}",
    ]
    wordy = {**good, "validations": [{"expression": " ", "message": "a\nb", "reason": "No"}]}
    assert _texts(validate_create(ADMISSION, _object(ADMISSION, spec=wordy))) == [
        "spec.validations[0].expression: Required value: expression is not specified",
        'spec.validations[0].message: Invalid value: "a\\nb": message must not contain line breaks',
        'spec.validations[0].reason: Unsupported value: "No": supported values: "Forbidden", "Invalid", '
        '"RequestEntityTooLarge", "Unauthorized"',
    ]


def test_admission_policy_bindings():
    good = {"policyName": "p", "validationActions": ["Deny"]}
    assert validate_create(BINDING, _object(BINDING, spec=good)) == []
    bad = {"paramRef": {"parameterNotFoundAction": "Wait"}, "validationActions": ["Audit", "Audit"]}
    assert _texts(validate_create(BINDING, _object(BINDING, spec=bad))) == [
        "spec.policyName: Required value",
        "spec.paramRef: Required value: one of name or selector must be specified",
        'spec.paramRef.parameterNotFoundAction: Unsupported value: "Wait": supported values: "Deny", "Allow"',
        'spec.validationActions[1]: Duplicate value: "Audit"',
    ]


def test_api_services():
    spec = {"group": "g.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    assert validate_create(APISERVICE, _object(APISERVICE, "v1.g.io", spec=spec)) == []
    assert _texts(
        validate_create(APISERVICE, _object(APISERVICE, "other", spec={**spec, "versionPriority": 1001}))
    ) == [
        'metadata.name: Invalid value: "other": must be `spec.version+"."+spec.group`: "v1.g.io"',
        "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
    ]


def _request():
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "u")])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def test_signing_requests():
    spec = {"request": _request(), "usages": ["client auth"], "signerName": "example.com/x"}
    old = _object(CSR, spec=spec)
    assert validate_create(CSR, old) == []
    bad = {"request": "YQ==", "usages": ["fun", "fun"], "signerName": "plain", "expirationSeconds": 1}
    found = _texts(validate_create(CSR, _object(CSR, spec=bad)))
    assert found[0] == "spec.request: Invalid value: []byte{0x61}: PEM block type must be CERTIFICATE REQUEST"
    assert found[1].startswith('spec.usages[0]: Unsupported value: "fun": supported values: "any", "cert sign"')
    assert found[3:] == [
        'spec.usages[1]: Duplicate value: "fun"',
        'spec.signerName: Invalid value: "plain": must be a fully qualified domain and path of the form '
        "'example.com/signer-name'",
        "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 600 seconds (10 minutes)",
    ]


def test_a_request_is_approved_by_its_subresource_only():
    spec = {"request": _request(), "usages": ["client auth"], "signerName": "example.com/x"}
    old = _object(CSR, spec=spec)
    approved = {**old, "status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    assert validate_approval(approved, old) == []
    assert _texts(validate_status_update(CSR, approved, old)) == [
        'status.conditions: Forbidden: updates may not add a condition of type "Approved"'
    ]
    assert _texts(validate_approval(old, approved)) == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    ]
    both = {**old, "status": {"conditions": [{"type": kind, "status": "True"} for kind in ("Approved", "Denied")]}}
    assert _texts(validate_approval(both, old)) == [
        'status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'
    ]
    issued = {**old, "status": {"certificate": b64encode(b"nothing").decode()}}
    assert _texts(validate_approval(issued, old)) == [
        'status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block',
        "status.certificate: Forbidden: updates may not set certificate content",
    ]


def test_controller_revisions():
    old = _object(REVISION, data={"a": 1}, revision=1)
    assert validate_create(REVISION, old) == []
    assert _texts(validate_create(REVISION, _object(REVISION, revision=-1))) == [
        "data: Required value: data is mandatory",
        "revision: Invalid value: -1: must be greater than or equal to 0",
    ]
    assert _texts(validate_update(REVISION, _object(REVISION, data={"a": 2}), old)) == [
        'data: Invalid value: {"a":2}: field is immutable'
    ]


def test_a_namespaces_phase_says_whether_it_ends():
    old = _object(NAMESPACE)
    ending = {**old, "status": {"phase": "Terminating"}}
    assert _texts(validate_status_update(NAMESPACE, ending, old)) == [
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    ]


STATEFUL = _resource("apps/v1", "StatefulSet")
DAEMON = _resource("apps/v1", "DaemonSet")
_TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}


def test_stateful_sets():
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": _TEMPLATE, "serviceName": "s"}
    assert validate_create(STATEFUL, _object(STATEFUL, spec=spec)) == [], "their pods are refused when they are made"
    assert "must not contain dots" in _texts(validate_create(STATEFUL, _object(STATEFUL, "a.b", spec=spec)))[0]
    rolling = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}}
    assert _texts(validate_create(STATEFUL, _object(STATEFUL, spec={**spec, **rolling}))) == [
        "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: intstr.IntOrString{Type:0, IntVal:0, "
        'StrVal:""}: cannot be 0'
    ]
    status = {"replicas": 2, "readyReplicas": 1, "availableReplicas": 2}
    old = _object(STATEFUL, spec=spec, status={"collisionCount": 2})
    assert _texts(validate_status_update(STATEFUL, {**old, "status": status}, old)) == [
        "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas",
        "status.collisionCount: Invalid value: 0: cannot be decremented",
    ]


def test_daemon_sets():
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    without = _object(DAEMON, spec={"template": template})
    assert _texts(validate_create(DAEMON, without)) == [
        'spec.template.metadata.labels: Invalid value: map[string]string{"a":"b"}: `selector` does not match template '
        "`labels`"
    ]
    selected = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    strange = _object(DAEMON, spec={**selected, "updateStrategy": {"type": "Slow"}})
    assert _texts(validate_create(DAEMON, strange)) == [
        'spec.updateStrategy: Unsupported value: apps.DaemonSetUpdateStrategy{Type:"Slow", '
        'RollingUpdate:(*apps.RollingUpdateDaemonSet)(nil)}: supported values: "RollingUpdate", "OnDelete"'
    ]


@pytest.mark.parametrize(
    ("kind", "metadata", "spec", "expected"),
    [
        ("SubjectAccessReview", {}, {"user": "u", "resourceAttributes": {"verb": "get"}}, []),
        (
            "SubjectAccessReview",
            {},
            {"resourceAttributes": {"fieldSelector": {}}},
            [
                'spec.user: Invalid value: "": at least one of user or group must be specified',
                "spec.resourceAttributes.fieldSelector.requirements: Required value: when "
                "spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
            ],
        ),
        (
            "SelfSubjectAccessReview",
            {},
            {},
            [
                'spec.resourceAttributes: Invalid value: "null": exactly one of nonResourceAttributes or '
                "resourceAttributes must be specified"
            ],
        ),
        (
            "LocalSubjectAccessReview",
            {"namespace": "here"},
            {"user": "u", "resourceAttributes": {"namespace": "there"}, "nonResourceAttributes": {"path": "/x"}},
            [
                'spec.nonResourceAttributes: Invalid value: authorization.NonResourceAttributes{Path:"/x", Verb:""}: '
                "cannot be specified in combination with resourceAttributes",
                'spec.resourceAttributes.namespace: Invalid value: "there": must match metadata.namespace',
                'spec.nonResourceAttributes: Invalid value: authorization.NonResourceAttributes{Path:"/x", Verb:""}: '
                "disallowed on this kind of request",
            ],
        ),
    ],
    ids=str,
)
def test_access_reviews(kind, metadata, spec, expected):
    assert _texts(validate_access_review(kind, {"metadata": metadata, "spec": spec}, "here")) == expected


def test_an_access_review_has_no_metadata():
    review = {"metadata": {"name": "x"}, "spec": {"resourceAttributes": {}}}
    (found,) = _texts(validate_access_review("SelfSubjectAccessReview", review, ""))
    assert found.startswith('metadata: Invalid value: v1.ObjectMeta{Name:"x", GenerateName:""')
    assert found.endswith("ManagedFields:[]v1.ManagedFieldsEntry(nil)}: must be empty")
