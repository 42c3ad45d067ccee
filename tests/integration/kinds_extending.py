"""The kinds by which the API is extended: admission, definitions, aggregated servers."""

from __future__ import annotations

from tests.integration.kinds_parts import DEFAULTED_HOOK, HOOK, RULE, Kind

EXTENDING = [
    Kind(
        "admissionregistration.k8s.io/v1",
        "MutatingWebhookConfiguration",
        {"webhooks": [HOOK]},
        {"webhooks": [{**DEFAULTED_HOOK, "reinvocationPolicy": "Never"}], "metadata": {"generation": 1}},
        {"webhooks": [{**HOOK, "timeoutSeconds": 31}]},
        "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
    ),
    Kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
        {"spec": {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]}},
        {
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "matchPolicy": "Equivalent",
                    "namespaceSelector": {},
                    "objectSelector": {},
                    "resourceRules": [{**RULE, "scope": "*"}],
                },
            },
            "metadata": {"generation": 1},
        },
        {"spec": {"validations": [{"expression": "true"}]}},
        "spec.matchConstraints: Required value",
    ),
    Kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
        {"spec": {"policyName": "nowhere", "validationActions": ["Audit"]}},
        {"spec": {"policyName": "nowhere"}, "metadata": {"generation": 1}},
        {"spec": {"policyName": "nowhere"}},
        "spec.validationActions: Required value: at least one validation action is required",
    ),
    Kind(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        {"webhooks": [HOOK]},
        {"webhooks": [DEFAULTED_HOOK], "metadata": {"generation": 1}},
        {"webhooks": [{**HOOK, "name": "short"}]},
        'webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots',
    ),
    Kind(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        {
            "spec": {
                "group": "minimal.example",
                "scope": "Namespaced",
                "names": {"plural": "things", "kind": "Thing"},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object"}},
                    }
                ],
            }
        },
        {"spec": {"names": {"singular": "thing", "listKind": "ThingList"}, "conversion": {"strategy": "None"}}},
        {"spec": {"group": "minimal.example", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"}}},
        "",
        name="things.minimal.example",
    ),
    Kind(
        "apiregistration.k8s.io/v1",
        "APIService",
        {
            "spec": {
                "group": "nobody.example",
                "version": "v1",
                "groupPriorityMinimum": 100,
                "versionPriority": 10,
                "service": {"name": "nobody", "namespace": "{namespace}"},
            }
        },
        {"spec": {"service": {"port": 443}}},
        {"spec": {"group": "nobody.example", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 1001}},
        "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
        name="v1.nobody.example",
    ),
]
