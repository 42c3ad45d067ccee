"""Which plug-ins are on, and what the configuration file says."""

import pytest
import yaml

from apimachinery.kit.config import Problems
from controlplane.apiserver.admission.configuration import load
from controlplane.apiserver.admission.event_rate_limit import Limit
from controlplane.apiserver.admission.from_flags import ADMISSION_PLUGINS, chosen_plugins
from controlplane.apiserver.admission.pod_security.policy import LevelVersion
from controlplane.apiserver.admission.resource_quota.charge import LimitedResource
from controlplane.apiserver.flags import Flags

UPSTREAMS_DEFAULTS = [
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "TaintNodesByCondition",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
]


def chosen(enable="", disable=""):
    flags = Flags([f"--enable-admission-plugins={enable}", f"--disable-admission-plugins={disable}"])
    return list(chosen_plugins(flags)), list(flags.problems)


def test_the_default_set_is_upstreams():
    assert chosen() == (UPSTREAMS_DEFAULTS, [])


def test_enabling_and_disabling():
    enabled, _ = chosen("NodeRestriction,DenyServiceExternalIPs", "PodSecurity")
    assert set(enabled) == {*UPSTREAMS_DEFAULTS, "NodeRestriction", "DenyServiceExternalIPs"} - {"PodSecurity"}
    assert enabled == [name for name in ADMISSION_PLUGINS if name in enabled], "in upstream's order"


def test_only_those_that_the_old_flag_names(capsys):
    flags = Flags(["--admission-control=ResourceQuota,LimitRanger", "--admission-control=AlwaysAdmit"])
    assert list(chosen_plugins(flags)) == ["AlwaysAdmit", "LimitRanger", "ResourceQuota"] and not flags.problems
    assert "Flag --admission-control has been deprecated, Use --enable-admission-plugins or" in capsys.readouterr().err
    flags = Flags(["--admission-control=Nope", "--disable-admission-plugins=Priority"])
    chosen_plugins(flags)
    assert list(flags.problems) == [
        "--admission-control: admission-control and enable-admission-plugins/disable-admission-plugins flags are "
        "mutually exclusive",
        '--admission-control: plugin "Nope" is unknown',
    ]


def test_plug_ins_of_closed_features_are_known():
    assert chosen("MutatingAdmissionPolicy", "ClusterTrustBundleAttest") == (UPSTREAMS_DEFAULTS, [])


def test_mistakes():
    _, problems = chosen("Nope,Priority", "Neither,Priority")
    assert problems == [
        '--enable-admission-plugins: plugin "Nope" is unknown',
        '--disable-admission-plugins: plugin "Neither" is unknown',
        "--enable-admission-plugins: [Priority] in enable-admission-plugins and disable-admission-plugins overlapped",
    ]


def written(tmp_path, *plugins):
    file = tmp_path / "admission.yaml"
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": list(plugins)}
    file.write_text(yaml.safe_dump(document))
    problems = Problems()
    return load(file, problems), list(problems)


POD_SECURITY = {"apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration"}


def test_the_configuration_file(tmp_path):
    (tmp_path / "quota.yaml").write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: ResourceQuotaConfiguration\n"
        "limitedResources: [{resource: pods, matchContains: [cpu]}]\n"
    )
    events = {"apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration"}
    found, problems = written(
        tmp_path,
        {
            "name": "PodSecurity",
            "configuration": {
                **POD_SECURITY,
                "defaults": {"enforce": "baseline", "enforce-version": "v1.30"},
                "exemptions": {"namespaces": ["kube-system"]},
            },
        },
        {"name": "ResourceQuota", "path": "quota.yaml"},
        {"name": "EventRateLimit", "configuration": {**events, "limits": [{"type": "Server", "qps": 5, "burst": 10}]}},
    )
    assert problems == []
    assert found.pod_security.defaults.enforce == LevelVersion("baseline", 30)
    assert found.pod_security.namespaces == {"kube-system"}
    assert found.limited == (LimitedResource("", "pods", ("cpu",)),)
    assert found.event_limits == (Limit("Server", 5.0, 10),)


@pytest.mark.parametrize(
    ("configuration", "sentence"),
    [
        ({"apiVersion": "v1", "kind": "X"}, 'no kind "X" is registered for version "v1"'),
        (
            {**POD_SECURITY, "defaults": {"enforce": "strict"}},
            'defaults.enforce: Invalid value: "strict": must be one of privileged, baseline, restricted',
        ),
        ({**POD_SECURITY, "exemptions": {"usernames": ["a", "a"]}}, 'exemptions.usernames[1]: Duplicate value: "a"'),
        ({**POD_SECURITY, "exemptions": {"namespaces": ["A!"]}}, 'exemptions.namespaces[0]: Invalid value: "A!"'),
    ],
    ids=["kind", "level", "twice", "name"],
)
def test_mistakes_in_the_file(tmp_path, configuration, sentence):
    _, problems = written(tmp_path, {"name": "PodSecurity", "configuration": configuration})
    assert len(problems) == 1 and sentence in problems[0]


def test_a_file_that_is_none(tmp_path):
    problems = Problems()
    load(tmp_path / "gone.yaml", problems)
    assert "unable to read admission control configuration" in next(iter(problems))
