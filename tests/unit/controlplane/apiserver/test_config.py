"""kube-apiserver's command line."""

import pytest

from apimachinery.kit.config import ConfigError, FlagError
from controlplane.apiserver.config import parse


@pytest.fixture
def needed(tmp_path):
    words = []
    for flag in (
        "tls-cert-file",
        "tls-private-key-file",
        "service-account-key-file",
        "service-account-signing-key-file",
    ):
        path = tmp_path / flag
        path.write_text("pem")
        words.append(f"--{flag}={path}")
    return [*words, "--service-account-issuer=https://kubernetes.default.svc.cluster.local"]


def test_kubeadms_flags_are_understood(needed, tmp_path):
    pem = tmp_path / "tls-cert-file"
    config = parse(
        [
            *needed,
            "--advertise-address=192.168.60.11",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            f"--client-ca-file={pem}",
            "--enable-admission-plugins=NodeRestriction",
            "--enable-bootstrap-token-auth=true",
            f"--etcd-cafile={pem}",
            f"--etcd-certfile={pem}",
            f"--etcd-keyfile={pem}",
            "--etcd-servers=https://127.0.0.1:2379",
            f"--kubelet-client-certificate={pem}",
            f"--kubelet-client-key={pem}",
            "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
            f"--proxy-client-cert-file={pem}",
            f"--proxy-client-key-file={pem}",
            "--requestheader-allowed-names=front-proxy-client",
            f"--requestheader-client-ca-file={pem}",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            "--secure-port=6443",
            "--profiling=false",
            "--service-account-lookup=true",
            "--service-cluster-ip-range=10.96.0.0/12",
        ]
    )
    assert config.etcd_servers == ("https://127.0.0.1:2379",)
    assert config.authorization_modes == ("Node", "RBAC")
    assert "NodeRestriction" in config.admission_plugins and "ServiceAccount" in config.admission_plugins
    assert config.allow_privileged and config.secure_port == 6443


def test_every_problem_at_once(needed):
    with pytest.raises(ConfigError) as wrong:
        parse([*needed, "--secure-port=0", "--authorization-mode=Magic", "--bind-address=here"])
    text = str(wrong.value)
    for part in (
        "--secure-port",
        '"Magic" is not a valid mode',
        "--bind-address",
        "--etcd-servers",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--nonsense=1", "--other"], "unknown flag: --nonsense"),
        (["--profiling", "false"], '"kube-apiserver" does not take any arguments, got ["false"]'),
        (
            ["--anonymous-auth=no"],
            'invalid argument "no" for "--anonymous-auth" flag: strconv.ParseBool: parsing "no": invalid syntax',
        ),
        (
            ["--event-ttl=300"],
            'invalid argument "300" for "--event-ttl" flag: time: missing unit in duration "300"',
        ),
        (
            ["--logging-format=xml"],
            'invalid argument "xml" for "--logging-format" flag: format: Invalid value: "xml": Unsupported log format',
        ),
        (
            ["--egress-selector-config-file=x"],
            'invalid argument "x" for "--egress-selector-config-file" flag: '
            "connections leave by the machine's own routes",
        ),
    ],
)
def test_what_cannot_be_read_is_told_alone(needed, words, told):
    with pytest.raises(FlagError) as wrong:
        parse([*needed, "--secure-port=0", *words])
    assert str(wrong.value) == told


def test_switches_are_read_as_go_reads_them(needed):
    words = [*needed, "--storage-sqlite=/tmp/x"]
    assert not parse([*words, "--anonymous_auth=F"]).anonymous_auth
    assert parse([*words, "--allow-privileged=1"]).allow_privileged


def test_lists_that_are_given_more_than_once_add_up(needed):
    config = parse(
        [
            *needed,
            "--storage-sqlite=/tmp/x",
            "--enable-admission-plugins=NodeRestriction",
            "--enable-admission-plugins=AlwaysPullImages,EventRateLimit",
            "--authorization-mode=Node",
            "--authorization-mode=RBAC",
        ]
    )
    assert {"NodeRestriction", "AlwaysPullImages", "EventRateLimit"} <= set(config.admission_plugins)
    assert config.authorization_modes == ("Node", "RBAC")


def test_what_hardened_servers_say(needed):
    words = [*needed, "--storage-sqlite=/tmp/x"]
    config = parse(
        [
            *words,
            "--request-timeout=5m0s",
            "--min-request-timeout=60",
            "--goaway-chance=0.001",
            r"--cors-allowed-origins=//a\.example\.com$,//b\.example\.com$",
            "--cors-allowed-origins=^http://localhost:",
            "--strict-transport-security-directives=max-age=1,preload",
        ]
    )
    assert (config.request_timeout, config.min_request_timeout) == (300.0, 60.0)
    assert config.cors_allowed_origins == (r"//a\.example\.com$", r"//b\.example\.com$", "^http://localhost:")
    assert config.hsts_directives == ("max-age=1", "preload")
    for wrong in (
        "--request-timeout=-1s",
        "--min-request-timeout=-1",
        "--goaway-chance=0.5",
        "--service-account-jwks-uri=http://example.com",
        "--cors-allowed-origins=.*",
        "--strict-transport-security-directives=always",
    ):
        with pytest.raises(ConfigError, match=wrong.partition("=")[0]):
            parse([*words, wrong])


def test_flags_without_an_effect_start_a_server(needed, capsys):
    parse(
        [
            *needed,
            "--storage-sqlite=/tmp/x",
            "--vmodule=a=1",
            "--logging-format=json",
            "--delete-collection-workers=2",
            "--kubelet-timeout=5s",
            "--livez-grace-period=30s",
            "--storage-backend=etcd3",
            "--endpoint-reconciler-type=lease",
            "--watch-cache",
            "--watch-cache-sizes=pods#10",
            "--default-watch-cache-size=1",
            "--v=2",
        ]
    )
    assert capsys.readouterr().err == (
        "Flag --default-watch-cache-size has been deprecated, "
        "watch caches are sized automatically and this flag will be removed in a future version\n"
    )


@pytest.mark.parametrize(("text", "seconds"), [("", 0), ("0s", 0), ("1h", 3600), ("90m", 5400), ("59m59s", None)])
def test_how_long_a_token_may_live(needed, text, seconds):
    words = [*needed, "--storage-sqlite=/tmp/x", *([f"--service-account-max-token-expiration={text}"] if text else [])]
    if seconds is None:
        with pytest.raises(ConfigError, match=r"must be between 1 hour and 2\^32 seconds"):
            parse(words)
        return
    config = parse(words)
    assert (config.max_token_expiration, config.extend_token_expiration) == (seconds, True)
    assert not parse([*words, "--service-account-extend-token-expiration=false"]).extend_token_expiration


@pytest.mark.parametrize(
    ("port", "told"),
    [
        ("65536", "65536 must be between 0 and 65535, inclusive. If 0, the Kubernetes master service will be of type "
         "ClusterIP"),
        ("80", "kubernetes service node port range 31000-31999 doesn't contain 80"),
    ],
)  # fmt: skip
def test_the_node_port_of_the_kubernetes_service(needed, port, told):
    given = [*needed, "--storage-sqlite=/x", "--service-node-port-range=31000-31999"]
    assert parse(given).kubernetes_service_node_port == 0
    assert parse([*given, "--kubernetes-service-node-port=31443"]).kubernetes_service_node_port == 31443
    with pytest.raises(ConfigError) as wrong:
        parse([*given, f"--kubernetes-service-node-port={port}"])
    assert wrong.value.problems == [f"--kubernetes-service-node-port: {told}"]


def test_one_store_only(needed):
    with pytest.raises(ConfigError, match="exactly one"):
        parse([*needed, "--etcd-servers=http://127.0.0.1:1", "--storage-sqlite=/tmp/x"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--authorization-mode=Webhook"], "authorization-mode Webhook's authorization config file not passed"),
        (
            ["--authorization-webhook-config-file=FILE"],
            "cannot specify --authorization-webhook-config-file without mode Webhook",
        ),
        (["--authorization-mode=RBAC,RBAC"], 'authorization-mode "RBAC" is specified more than once'),
        (
            [
                "--authorization-mode=Webhook",
                "--authorization-webhook-config-file=FILE",
                "--authorization-webhook-version=v2",
            ],
            'unsupported webhook authorizer version "v2", supported versions are "v1", "v1beta1"',
        ),
        (
            ["--authentication-token-webhook-config-file=FILE", "--authentication-token-webhook-version=v2"],
            'unsupported authentication webhook version "v2", supported versions are "v1", "v1beta1"',
        ),
        (["--authorization-mode=ABAC"], "authorization-mode ABAC's authorization policy file not passed"),
        (["--authorization-policy-file=EMPTY"], "cannot specify --authorization-policy-file without mode ABAC"),
        (
            ["--authorization-mode=ABAC", "--authorization-policy-file=BAD"],
            "BAD, line 1: {: couldn't get version/kind; json parse error: ",
        ),
        (["--authentication-token-webhook-config-file=EMPTY"], "--authentication-token-webhook-config-file: "),
    ],
)
def test_webhooks(needed, tmp_path, words, told):
    context = "contexts: [{name: a, context: {cluster: a}}]\ncurrent-context: a\n"
    (tmp_path / "FILE").write_text(f"clusters: [{{name: a, cluster: {{server: 'https://a'}}}}]\n{context}")
    (tmp_path / "EMPTY").write_text("{}")
    (tmp_path / "BAD").write_text("{")
    given = words
    for name in ("FILE", "EMPTY", "BAD"):
        given = [word.replace(f"={name}", f"={tmp_path}/{name}") for word in given]
    with pytest.raises(ConfigError) as wrong:
        parse([*needed, "--storage-sqlite=/tmp/x", *given])
    assert len(wrong.value.problems) == 1 and told in wrong.value.problems[0]


def test_an_authorization_config(needed, tmp_path):
    head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n"
    good, wrong, unread = (tmp_path / name for name in ("good", "wrong", "unread"))
    good.write_text(f"{head}- {{type: Node, name: node}}\n- {{type: RBAC, name: rbac}}\n")
    wrong.write_text(f"{head}- {{type: Magic}}\n- {{type: RBAC, name: a}}\n")
    (tmp_path / "none").write_text("{}")
    hook = (
        f"connectionInfo: {{type: KubeConfigFile, kubeConfigFile: {tmp_path}/none}}, timeout: 1s, failurePolicy: Deny, "
        "subjectAccessReviewVersion: v1"
    )
    unread.write_text(f"{head}- {{type: Webhook, name: a, webhook: {{{hook}}}}}\n")
    words = [*needed, "--storage-sqlite=/tmp/x"]
    config = parse([*words, f"--authorization-config={good}"])
    assert config.authorization_modes == ("Node", "RBAC") and config.authorization_config.path == good
    assert parse(words).authorization_modes == ("AlwaysAllow",) and parse(words).authorization_config is None
    for flags, told in (
        ([f"--authorization-config={wrong}"], ["authorizers[0].type: Unsupported value", "expected name rbac"]),
        (
            [f"--authorization-config={good}", "--authorization-mode=RBAC"],
            ["can not be specified when --authorization-mode or --authorization-webhook-* flags are defined"],
        ),
        ([f"--authorization-config={good}", "--authorization-webhook-version", "v1"], ["can not be specified when"]),
        ([f"--authorization-config={unread}"], [f"{tmp_path}/none: there is no context"]),
        (["--authorization-config=/none"], ["open /none: no such file or directory"]),
    ):
        with pytest.raises(ConfigError) as problems:
            parse([*words, *flags])
        assert len(problems.value.problems) == len(told)
        for problem, part in zip(problems.value.problems, told, strict=True):
            assert problem.startswith("--authorization-config: ") and part in problem
