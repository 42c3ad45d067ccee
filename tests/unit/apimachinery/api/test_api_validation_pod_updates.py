"""Pods: what gates leave open, keys of labels, mounts and devices, windows options, names of generic claims."""

from copy import deepcopy
from typing import Any

import pytest

from apimachinery.api import defaults
from apimachinery.api.catalogue import PODS
from apimachinery.api.validation import validate_create, validate_update

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _pod(container=None, **spec):
    metadata = {"name": "p", "namespace": "default", "resourceVersion": "1"}
    pod: dict[str, Any] = {
        "metadata": metadata,
        "spec": deepcopy({"containers": [{"name": "c", "image": "i", **(container or {})}]}),
    }
    pod["spec"].update(deepcopy(spec))
    defaults.apply(PODS, pod)
    return pod


def _texts(problems):
    return [str(problem) for problem in problems]


def _required(*terms):
    return {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [*term]} for term in terms]}}}


def _key(name):
    return {"key": name, "operator": "Exists"}


_TERMS = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
_REQUIREMENT = 'core.NodeSelectorRequirement{Key:"b", Operator:"Exists", Values:[]string(nil)}'
_TERM = (
    f"core.NodeSelectorTerm{{MatchExpressions:[]core.NodeSelectorRequirement{{{_REQUIREMENT}}}, "
    "MatchFields:[]core.NodeSelectorRequirement(nil)}"
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"a": "1", "b": "2"}}, []),
        (
            {"nodeSelector": {"a": "1"}},
            {"nodeSelector": {"a": "2"}},
            [
                'spec.nodeSelector: Invalid value: map[string]string{"a":"2"}: only additions to spec.nodeSelector '
                "are allowed (no mutations or deletions)"
            ],
        ),
        ({}, {"affinity": _required([_key("a")])}, []),
        ({"affinity": _required([_key("a")])}, {"affinity": _required([_key("a"), _key("b")])}, []),
        (
            {"affinity": _required([_key("a")])},
            {"affinity": _required([_key("b")])},
            [f"{_TERMS}[0]: Invalid value: {_TERM}: only additions are allowed (no mutations or deletions)"],
        ),
        (
            {"affinity": _required([_key("a")])},
            {},
            [
                f"{_TERMS}: Invalid value: []core.NodeSelectorTerm(nil): no additions/deletions to non-empty "
                "NodeSelectorTerms list are allowed"
            ],
        ),
    ],
    ids=["selector grows", "selector changes", "first affinity", "narrower", "other", "gone"],
)
def test_a_gated_pod_may_be_narrowed(old, new, expected):
    gates = [{"name": "example.com/g"}]
    before, after = _pod(schedulingGates=gates, **old), _pod(schedulingGates=gates, **new)
    assert _texts(validate_update(PODS, after, before)) == expected


def test_a_gated_pods_other_affinity_stays():
    pods = {"podAffinity": {_REQUIRED: [{"topologyKey": "zone", "labelSelector": {}}]}}
    gates = [{"name": "example.com/g"}]
    (problem,) = validate_update(PODS, _pod(schedulingGates=gates, affinity=pods), _pod(schedulingGates=gates))
    assert problem.message.startswith("Forbidden: pod updates may not change fields other than")


def test_the_quality_of_service_stays():
    texts = _texts(validate_update(PODS, _pod({"resources": {"requests": {"cpu": "1"}}}), _pod()))
    assert texts[0] == 'metadata: Invalid value: "": Pod QoS is immutable'
    assert len(texts) == 2 and texts[1].startswith("spec: Forbidden: pod updates may not change fields other than")


def _spread(**constraint):
    base = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [{**base, **constraint}]}


def _near(**term):
    return {"affinity": {"podAffinity": {_REQUIRED: [{"topologyKey": "zone", **term}]}}}


_AFFINITY = f"spec.affinity.podAffinity.{_REQUIRED}[0]"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (_spread(matchLabelKeys=["a"], labelSelector={"matchLabels": {"b": "c"}}), []),
        (
            _spread(matchLabelKeys=["a"]),
            [
                "spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified when "
                "labelSelector is not set"
            ],
        ),
        (
            _spread(matchLabelKeys=["b"], labelSelector={"matchLabels": {"b": "c"}}),
            [
                'spec.topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: "b": exists in both '
                "matchLabelKeys and labelSelector"
            ],
        ),
        (
            _near(mismatchLabelKeys=["a"]),
            [f"{_AFFINITY}.mismatchLabelKeys: Forbidden: must not be specified when labelSelector is not set"],
        ),
        (
            _near(
                matchLabelKeys=["x", "b"],
                labelSelector={
                    "matchLabels": {"b": "c"},
                    "matchExpressions": [{"key": "b", "operator": "In", "values": ["c"]}],
                },
            ),
            [f'{_AFFINITY}[1]: Invalid value: "b": exists in both matchLabelKeys and labelSelector'],
        ),
        (
            _near(matchLabelKeys=["a"], mismatchLabelKeys=["a"], labelSelector={}),
            [f'{_AFFINITY}.matchLabelKeys[0]: Invalid value: "a": exists in both matchLabelKeys and mismatchLabelKeys'],
        ),
    ],
    ids=["fine", "spread, no selector", "spread, twice", "no selector", "twice", "both ways"],
)
def test_keys_of_labels(spec, expected):
    assert _texts(validate_create(PODS, _pod(**spec))) == expected


_CLAIM = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        ({"volumeMounts": [{"name": "v", "mountPath": "/a", "readOnly": True, "recursiveReadOnly": "Enabled"}]}, []),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/a", "recursiveReadOnly": "IfPossible"}]},
            [
                "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly "
                "is true"
            ],
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/a", "recursiveReadOnly": "Often"}]},
            [
                'spec.containers[0].volumeMounts.recursiveReadOnly: Unsupported value: "Often": supported values: '
                '"Disabled", "Enabled", "IfPossible"'
            ],
        ),
        (
            {"volumeDevices": [{"name": "v", "devicePath": "/a"}, {"name": "v", "devicePath": "/b/../c"}]},
            [
                'spec.containers[0].volumeDevices[1].name: Invalid value: "v": must be unique',
                'spec.containers[0].volumeDevices[1].devicePath: Invalid value: "/b/../c": can not contain backsteps '
                "('..')",
            ],
        ),
        (
            {
                "volumeMounts": [{"name": "v", "mountPath": "/a"}],
                "volumeDevices": [{"name": "v", "devicePath": "/a"}],
            },
            [
                'spec.containers[0].volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices',
                'spec.containers[0].volumeMounts[0].mountPath: Invalid value: "/a": must not already exist as a path '
                "in volumeDevices",
                'spec.containers[0].volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts',
                'spec.containers[0].volumeDevices[0].devicePath: Invalid value: "/a": must not already exist as a '
                "path in volumeMounts",
            ],
        ),
    ],
    ids=["recursive", "not read-only", "unknown", "devices", "overlap"],
)
def test_mounts_and_devices(container, expected):
    assert _texts(validate_create(PODS, _pod(container, **_CLAIM))) == expected


def test_nothing_below_an_image_is_mounted():
    mounts = [{"name": "i", "mountPath": "/a", "subPath": "x"}, {"name": "i", "mountPath": "/b", "subPathExpr": "$(Y)"}]
    volume = {"name": "i", "image": {"reference": "busybox"}}
    where, why = "spec.containers[0].volumeMounts", "not allowed in image volume sources"
    assert _texts(validate_create(PODS, _pod({"volumeMounts": mounts}, volumes=[volume]))) == [
        f'{where}[0].subPath: Invalid value: "x": {why}',
        f'{where}[1].subPathExpr: Invalid value: "$(Y)": {why}',
    ]


_USER = "spec.securityContext.windowsOptions.runAsUserName: Invalid value: "


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("NT AUTHORITY\\SYSTEM", []),
        ("example.com\\web", []),
        ("", [f'{_USER}"": runAsUserName cannot be an empty string']),
        ("a\tb", [f'{_USER}"a\\tb": runAsUserName cannot contain control characters']),
        ("a\\b\\c", [f'{_USER}"a\\\\b\\\\c": runAsUserName cannot contain more than one backslash']),
        (
            ".a\\b",
            [f"{_USER}\".a\\\\b\": runAsUserName's Domain doesn't match the NetBios nor the DNS format"],
        ),
        ("a\\", [f'{_USER}"a\\\\": runAsUserName\'s User cannot be empty']),
        ("..", [f'{_USER}"..": runAsUserName\'s User cannot contain only periods or spaces']),
        (
            "a@b",
            [f'{_USER}"a@b": runAsUserName\'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]'],
        ),
        (
            "a" * 105,
            [f'{_USER}"{"a" * 105}": runAsUserName\'s User length must not be longer than 104 characters'],
        ),
    ],
)
def test_users_of_windows(user, expected):
    pod = _pod(securityContext={"windowsOptions": {"runAsUserName": user}})
    assert _texts(validate_create(PODS, pod)) == expected


def test_processes_of_the_host():
    context = {"windowsOptions": {"hostProcess": True}}
    one = _pod({"securityContext": context}, initContainers=[{"name": "d", "image": "i"}])
    assert _texts(validate_create(PODS, one)) == [
        'spec: Invalid value: "": If pod contains any hostProcess containers then all containers must be HostProcess '
        "containers",
        "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
    ]
    other = _pod({"securityContext": {"windowsOptions": {"hostProcess": False}}}, securityContext=context)
    assert _texts(validate_create(PODS, other)) == [
        "spec.containers[0].securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value "
        "must be identical if both are specified, was true"
    ]
    assert not validate_create(PODS, _pod({"securityContext": context}, hostNetwork=True))


def test_an_apparmor_profile_has_a_plain_name():
    profile = {"type": "Localhost", "localhostProfile": " a"}
    assert _texts(validate_create(PODS, _pod(securityContext={"appArmorProfile": profile}))) == [
        'spec.securityContext.appArmorProfile.localhostProfile: Invalid value: " a": must not be padded with whitespace'
    ]


def test_a_pods_own_claim_must_have_a_name():
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    pod = _pod(volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}])
    assert not validate_create(PODS, pod)
    pod["metadata"]["name"] = "p" * 253
    assert _texts(validate_create(PODS, pod)) == [
        f'spec.volumes[0].name: Invalid value: "v": PVC name "{"p" * 253}-v": must be no more than 253 characters'
    ]


def test_a_pods_own_claim_is_not_named_as_another_volume():
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    pod = _pod(
        volumes=[
            {"name": "other", "persistentVolumeClaim": {"claimName": "p-v"}},
            {"name": "v", "ephemeral": {"volumeClaimTemplate": template}},
        ]
    )
    assert _texts(validate_create(PODS, pod)) == [
        'spec.volumes[0].persistentVolumeClaim.claimName: Invalid value: "p-v": must not reference a PVC that gets '
        "created for an ephemeral volume"
    ]
    pod["metadata"]["name"] = "q"
    assert not validate_create(PODS, pod)


_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"runtimeClassName": ""}, f'spec.runtimeClassName: Invalid value: "": {_SUBDOMAIN}'),
        (
            {"initContainers": [{"name": "i", "image": "i", "restartPolicy": ""}]},
            'spec.initContainers[0].restartPolicy: Unsupported value: "": supported values: "Always"',
        ),
        (
            {"securityContext": {"fsGroupChangePolicy": ""}},
            'spec.securityContext.fsGroupChangePolicy: Unsupported value: "": supported values: "Always", '
            '"OnRootMismatch"',
        ),
        (
            _spread(nodeTaintsPolicy=""),
            'spec.topologySpreadConstraints[0].nodeTaintsPolicy: Unsupported value: "": supported values: "Honor", '
            '"Ignore"',
        ),
    ],
)
def test_what_is_given_is_not_empty(spec, expected):
    assert _texts(validate_create(PODS, _pod(**spec))) == [expected]


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({"type": "Localhost", "localhostProfile": ""}, []),
        (
            {"type": "Localhost"},
            ["localhostProfile: Required value: must be set when seccomp type is Localhost"],
        ),
        (
            {"type": "RuntimeDefault", "localhostProfile": "a"},
            [
                'localhostProfile: Invalid value: core.SeccompProfile{Type:"RuntimeDefault", '
                "LocalhostProfile:(*string)(0xc000000000)}: can only be set when seccomp type is Localhost"
            ],
        ),
        (
            {"localhostProfile": "a"},
            [
                "type: Required value: type is required when seccompProfile is set",
                'localhostProfile: Invalid value: core.SeccompProfile{Type:"", '
                "LocalhostProfile:(*string)(0xc000000000)}: can only be set when seccomp type is Localhost",
            ],
        ),
    ],
)
def test_a_seccomp_profile_is_named_where_it_is_the_nodes(profile, expected):
    pod = _pod(securityContext={"seccompProfile": profile})
    assert _texts(validate_create(PODS, pod)) == [f"spec.securityContext.seccompProfile.{text}" for text in expected]


def test_a_security_context_is_gone_through_in_upstreams_order():
    bad = {"type": "A"}
    context = {
        "seccompProfile": bad,
        "appArmorProfile": bad,
        "windowsOptions": {"runAsUserName": ""},
        "allowPrivilegeEscalation": False,
        "privileged": True,
    }
    fields = ["seccompProfile.type", "", "windowsOptions.runAsUserName", "appArmorProfile.type"]
    found = validate_create(PODS, _pod(container={"securityContext": context}))
    assert [each.path for each in found] == [
        f"spec.containers[0].securityContext.{field}".strip(".") for field in fields
    ]
    own = {**context, "supplementalGroupsPolicy": "A", "fsGroupChangePolicy": "A"}
    fields = ["shareProcessNamespace", "fsGroupChangePolicy", *filter(None, fields), "supplementalGroupsPolicy"]
    found = validate_create(PODS, _pod(securityContext=own, shareProcessNamespace=True, hostPID=True))
    assert [each.path for each in found] == [f"spec.securityContext.{field}" for field in fields]
