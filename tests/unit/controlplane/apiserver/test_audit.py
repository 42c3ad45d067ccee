"""Which requests the audit policy wants, and how the log is kept."""

import asyncio
import datetime
import gzip
import pathlib
import stat

import pytest

from apimachinery.kit.clock import ManualClock
from controlplane.apiserver.audit.backups import compress_all, named, plan
from controlplane.apiserver.audit.legacy import line
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
    assert str(told.value).startswith("[omitStages[0]: ") and str(told.value).endswith(f"]: from file {file}")


HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rules: []", "failed decoding: Object 'Kind' is missing in 'rules: []'"),
        (HEAD, "loaded illegal policy with 0 rules"),
        (
            HEAD.replace("v1", "v1beta1"),
            'failed decoding: no kind "Policy" is registered for version "audit.k8s.io/v1beta1"',
        ),
        (
            f"{HEAD}rules: [{{level: Metadata, users: bob}}]",
            "failed decoding: json: cannot unmarshal string into Go struct field PolicyRule.rules.users of type "
            "[]string",
        ),
        (f"{HEAD}rules: [null]", "rules[0].level: Required value"),
    ],
)
def test_what_is_no_policy(tmp_path, text, why):
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match="from file") as told:
        load(file)
    assert str(told.value) == f"{why}: from file {file}"


def test_names_that_are_not_known_are_only_told(tmp_path, caplog):
    file = tmp_path / "policy.yaml"
    file.write_text(f"{HEAD}metadata: {{labels: {{a: b}}}}\nrules: [{{level: Metadata, user: [bob]}}]")
    assert load(file).decide(ask()).level is Level.METADATA
    assert caplog.messages == [
        "Audit policy contains errors, falling back to lenient decoding: "
        'strict decoding error: unknown field "rules[0].user"'
    ]


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


def moment(name):
    return NOW + datetime.timedelta(milliseconds=int(name))


def names(*stamps):
    """`1` stands for a log put aside a millisecond after NOW, `1z` for its compressed form."""
    log = pathlib.Path("/logs/audit.log")
    return [named(log, moment(each.rstrip("z"))).name + (".gz" if each.endswith("z") else "") for each in stamps]


@pytest.mark.parametrize(
    ("found", "options", "removed", "compressed"),
    [
        (["3", "1", "2"], {}, [], []),
        (["3", "1", "2"], {"backups": 2}, ["1"], []),
        (["3", "3z", "2z", "1"], {"backups": 2}, ["1"], []),
        (["3", "2z", "1"], {"compress": True}, [], ["3", "1"]),
        (["3", "2", "1z"], {"compress": True, "backups": 1}, ["2", "1z"], ["3"]),
        (["3", "2z", "1"], {"age": datetime.timedelta(milliseconds=8), "compress": True}, ["1"], ["3"]),
    ],
)
def test_which_logs_stay(found, options, removed, compressed):
    others = ["audit.log", "audit-today.log", "audit-2026.log.gz", "other-2026-01-01T00-00-03.000.log"]
    chosen = {"backups": 0, "age": None, "compress": False, **options}
    gone, plain = plan(pathlib.Path("/logs/audit.log"), [*others, *names(*found)], moment("10"), **chosen)
    assert (sorted(gone), sorted(plain)) == (sorted(names(*removed)), sorted(names(*compressed)))


async def test_logs_are_compressed_and_nobody_elses(tmp_path):
    clock, path = ManualClock(NOW), tmp_path / "logs" / "audit.log"
    log = LogFile(str(path), clock, max_bytes=10, compress=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o640)
    for number in range(2):
        log.write(b"line %d..\n" % number)
    async with asyncio.timeout(60):
        while sorted(each.name for each in path.parent.iterdir()) != [f"{names('0')[0]}.gz", "audit.log"]:
            await asyncio.sleep(0.01)
    (packed,) = path.parent.glob("*.gz")
    assert gzip.decompress(packed.read_bytes()) == b"line 0..\n"
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o640}
    log.close()


def test_a_log_that_cannot_be_compressed_stays(tmp_path):
    file = tmp_path / "a.log"
    file.write_text("a")
    (tmp_path / "a.log.gz").mkdir()
    compress_all([tmp_path / "none.log", file])
    assert file.read_text() == "a"


def test_a_log_that_cannot_be_put_aside_goes_on(tmp_path):
    clock, path = ManualClock(NOW), tmp_path / "audit.log"
    log = LogFile(str(path), clock, max_bytes=10)
    log.write(b"line 0..\n")
    blocker = tmp_path / names("0")[0]
    blocker.mkdir()
    with pytest.raises(OSError, match="directory"):
        log.write(b"line 1..\n")
    blocker.rmdir()
    log.write(b"line 2..\n")
    assert (path.read_bytes(), blocker.read_bytes()) == (b"line 2..\n", b"line 0..\n")
    path.unlink()
    log.write(b"line 3..\n")
    log.close()
    assert path.read_bytes() == b"line 3..\n", "somebody took the file away"


EVENT = {
    "auditID": "1",
    "stage": "RequestReceived",
    "verb": "list",
    "requestURI": "/api/v1/pods",
    "user": {},
    "requestReceivedTimestamp": "2026-01-01T00:00:00.120000Z",
}


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (
            {},
            '2026-01-01T00:00:00.12Z AUDIT: id="1" stage="RequestReceived" ip="<unknown>" method="list" user="<none>" '
            'groups="<none>" as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" uri="/api/v1/pods" '
            'response="<deferred>"',
        ),
        (
            {
                "user": {"username": "jane", "groups": ["a", "b"]},
                "impersonatedUser": {"username": "joe", "groups": ["c"]},
                "sourceIPs": ["10.0.0.1", "10.0.0.2"],
                "userAgent": 'k "x"',
                "objectRef": {"namespace": "default"},
                "responseStatus": {"code": 200},
                "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
            },
            '2026-01-01T00:00:00Z AUDIT: id="1" stage="RequestReceived" ip="10.0.0.1" method="list" user="jane" '
            r'groups="\"a\",\"b\"" as="joe" asgroups="\"c\"" user-agent="k \"x\"" namespace="default" '
            'uri="/api/v1/pods" response="200"',
        ),
    ],
)
def test_a_line_for_people(more, text):
    assert line({**EVENT, **more}).decode() == text
