"""Which requests the audit policy wants, and how the log is kept."""

import datetime

import pytest

from apimachinery.kit.clock import ManualClock
from controlplane.apiserver.audit.log import LogFile
from controlplane.apiserver.audit.policy import Level, build, load
from controlplane.apiserver.authn.user import User
from controlplane.apiserver.authz.attributes import Attributes

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
BOB = User("bob", groups=("devs",))


def ask(verb="get", resource="pods", group="", **more):
    return Attributes(more.pop("user", BOB), verb, group, "v1", resource, **more)


def path(text):
    return Attributes(BOB, "get", path=text)


@pytest.mark.parametrize(
    ("rule", "asked", "about"),
    [
        ({}, ask(), True),
        ({"users": ["bob"]}, ask(), True),
        ({"users": ["eve"]}, ask(), False),
        ({"userGroups": ["ops", "devs"]}, ask(), True),
        ({"userGroups": ["ops"]}, ask(), False),
        ({"verbs": ["watch"]}, ask(), False),
        ({"resources": [{"resources": ["pods"]}]}, ask(), True),
        ({"resources": [{"group": ""}]}, ask(), True),
        ({"resources": [{"group": "apps"}]}, ask(), False),
        ({"resources": [{"resources": ["pods"]}]}, ask(subresource="log"), False),
        ({"resources": [{"resources": ["pods/log"]}]}, ask(subresource="log"), True),
        ({"resources": [{"resources": ["pods/*"]}]}, ask(subresource="log"), True),
        ({"resources": [{"resources": ["*/log"]}]}, ask(subresource="log"), True),
        ({"resources": [{"resources": ["*"]}]}, ask(subresource="log"), True),
        ({"resources": [{"resources": ["pods"], "resourceNames": ["a"]}]}, ask(name="b"), False),
        ({"resources": [{"resources": ["pods"], "resourceNames": ["a"]}]}, ask(name="a"), True),
        ({"namespaces": ["a"]}, ask(namespace="a"), True),
        ({"namespaces": ["a"]}, ask(namespace="b"), False),
        ({"namespaces": [""]}, ask(resource="nodes"), True),
        ({"resources": [{"group": ""}]}, path("/healthz"), False),
        ({"nonResourceURLs": ["/healthz*"]}, path("/healthz/etcd"), True),
        ({"nonResourceURLs": ["/version"]}, path("/versions"), False),
        ({"nonResourceURLs": ["*"]}, ask(), False),
    ],
)
def test_which_requests_a_rule_is_about(rule, asked, about):
    policy = build({"rules": [{"level": "Request", **rule}]})
    assert (policy.decide(asked).level is Level.REQUEST) is about


def test_the_first_rule_decides_and_stages_add_up():
    policy = build(
        {
            "omitStages": ["RequestReceived"],
            "omitManagedFields": True,
            "rules": [
                {"level": "None", "users": ["eve"]},
                {"level": "Metadata", "omitStages": ["ResponseStarted"], "omitManagedFields": False},
            ],
        }
    )
    assert policy.decide(ask(user=User("eve"))).level is Level.NONE
    decision = policy.decide(ask())
    assert decision.omitted == {"RequestReceived", "ResponseStarted"} and not decision.omit_managed_fields


WRONG = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [Never]
rules:
- level: Everything
- nonResourceURLs: [healthz, "/a*b"]
  resources: [{group: a/b, resourceNames: [x]}]
"""


def test_every_problem_is_told(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(WRONG)
    with pytest.raises(ValueError, match="omitStages") as told:
        load(file)
    for sentence in (
        'omitStages[0]: Invalid value: "Never": allowed stages are RequestReceived,ResponseStarted,',
        'rules[0].level: Unsupported value: "Everything": supported values: ',
        "rules[1].level: Required value",
        "rules[1].nonResourceURLs[0]: Invalid value: \"healthz\": non-resource URL rules must begin with a '/'",
        "rules[1].nonResourceURLs[1]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be the final",
        'rules[1].resources.group: Invalid value: "a/b"',
        "using resourceNames requires at least one resource",
        "rules cannot apply to both regular resources and non-resource URLs",
    ):
        assert sentence in str(told.value)
    for text, why in (("rules: []", "not a Policy"), (WRONG.partition("rules")[0], "0 rules"), ("{", "decoding")):
        file.write_text(text)
        with pytest.raises(ValueError, match=why):
            load(file)


async def test_the_log_is_put_aside_when_it_is_full(tmp_path):
    clock, path = ManualClock(NOW), tmp_path / "logs" / "audit.log"
    log = LogFile(str(path), clock, max_bytes=10, backups=2, age=datetime.timedelta(seconds=100))
    for number in range(5):
        log.write(b"line %d..\n" % number)
        await clock.advance(1)
    names = sorted(each.name for each in path.parent.iterdir())
    assert names == ["audit-2026-01-01T00-00-03.000.log", "audit-2026-01-01T00-00-04.000.log", "audit.log"]
    assert path.read_bytes() == b"line 4..\n"
    await clock.advance(1000)
    log.write(b"line 5..\n")
    assert sorted(each.name for each in path.parent.iterdir()) == ["audit-2026-01-01T00-16-45.000.log", "audit.log"]
    log.close()
    again = LogFile(str(path), clock, max_bytes=100)
    again.write(b"more\n")
    again.close()
    assert path.read_bytes() == b"line 5..\nmore\n"
