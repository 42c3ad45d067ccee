"""What the health paths say of the parts of a server."""

from controlplane.apiserver.front.health import started_parts


def test_the_parts_of_a_server_as_kubeadm_starts_it() -> None:
    parts = started_parts(fairness=True)
    at = parts.index("poststarthook/generic-apiserver-start-informers")
    assert parts[at + 1 : at + 4] == [
        "poststarthook/priority-and-fairness-config-consumer",
        "poststarthook/priority-and-fairness-filter",
        "poststarthook/storage-object-count-tracker-hook",
    ]
    at = parts.index("autoregister-completion")
    assert parts[at - 1 : at + 2] == [
        "poststarthook/kube-apiserver-autoregistration",
        "autoregister-completion",
        "poststarthook/apiservice-openapi-controller",
    ]
    assert "poststarthook/aggregator-reload-proxy-client-cert" in parts
    assert "poststarthook/max-in-flight-filter" not in parts


def test_what_is_switched_off_is_not_named() -> None:
    parts = started_parts(fairness=False, identity=False, proxying=False)
    assert "poststarthook/max-in-flight-filter" in parts
    assert not [part for part in parts if "fairness" in part or "identity" in part or "proxy" in part]
