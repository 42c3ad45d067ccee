"""Random users against the whole control plane: what they do one after the other, without waiting, and what must hold.

Each run works in a namespace of its own. At all times: no pod is bound twice, no node is given more than it has, no
name has two pods, nobody has more pods than was ever asked for (and maxSurge), no component logs an error. Whenever the
rules come to rest: `states_world`. In the end all obstacles go and every wish must be granted; then the namespace goes.

KUBELAB_STATES=N does so N times with 50 rules each, KUBELAB_STATES_SEED=S draws others, KUBELAB_STATES_KILL=N kills the
controllers at one of their next N writes, again and again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.integration.faults import Faults
from tests.integration.states_cluster import StatesCluster, states_cluster
from tests.integration.states_users import Users

LARGE = int(os.environ.get("KUBELAB_STATES", "0"))
SEED = os.environ.get("KUBELAB_STATES_SEED")
KILL = int(os.environ.get("KUBELAB_STATES_KILL", "0"))
SETTINGS = settings(
    max_examples=LARGE or 4,
    stateful_step_count=50 if LARGE else 20,
    derandomize=SEED is None,
    database=None,
    deadline=None,
    # Two runs are never quite the same: what is found is told as it was found.
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

small, flag = st.integers(0, 3), st.booleans()
which = st.integers(0, 5)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StatesCluster]:
    with states_cluster(tmp_path_factory.mktemp("states") / "data", Faults(kill_within=KILL)) as running:
        yield running


class Machine(RuleBasedStateMachine):
    """which: the so-manieth of what there is."""

    cluster: StatesCluster

    @initialize(replicas=st.integers(1, 3), surge=small, unavailable=small, parallel=flag)
    def begin(self, replicas: int, surge: int, unavailable: int, parallel: bool) -> None:
        self.users = Users(self.cluster)
        self.cluster.do(self.users.begin())
        self.cluster.do(self.users.create_deployment(replicas, surge, unavailable, False))
        self.cluster.do(self.users.create_service_and_budget(0, 1))
        self.cluster.do(self.users.create_stateful_set(replicas, parallel))

    @rule(replicas=small, surge=small, unavailable=small, recreate=flag)
    def create_deployment(self, replicas: int, surge: int, unavailable: int, recreate: bool) -> None:
        self.cluster.do(self.users.create_deployment(replicas, surge, unavailable, recreate))

    @rule(replicas=small, parallel=flag)
    def create_stateful_set(self, replicas: int, parallel: bool) -> None:
        self.cluster.do(self.users.create_stateful_set(replicas, parallel))

    @rule(surge=flag)
    def create_daemon_set(self, surge: bool) -> None:
        self.cluster.do(self.users.create_daemon_set(surge))

    @rule(completions=st.integers(1, 3), parallelism=st.integers(1, 3), outcome=st.sampled_from(("ok", "fail", "run")))
    def create_job(self, completions: int, parallelism: int, outcome: str) -> None:
        self.cluster.do(self.users.create_job(completions, parallelism, outcome))

    @rule(outcome=st.sampled_from(("ok", "run")), suspend=flag)
    def create_cron_job(self, outcome: str, suspend: bool) -> None:
        self.cluster.do(self.users.create_cron_job(outcome, suspend))

    @rule(which=which, replicas=st.integers(0, 4))
    def scale(self, which: int, replicas: int) -> None:
        self.cluster.do(self.users.scale(which, replicas))

    @rule(which=which, image=small)
    def roll(self, which: int, image: int) -> None:
        """To a template of before: a rollback."""
        self.cluster.do(self.users.roll(which, image))

    @rule(which=which, paused=flag)
    def pause(self, which: int, paused: bool) -> None:
        self.cluster.do(self.users.pause(which, paused))

    @rule(which=which, partition=small)
    def partition(self, which: int, partition: int) -> None:
        self.cluster.do(self.users.partition(which, partition))

    @rule(which=which, suspend=flag)
    def suspend(self, which: int, suspend: bool) -> None:
        self.cluster.do(self.users.suspend(which, suspend))

    @rule(which=which, how=st.sampled_from(("Background", "Foreground", "Orphan")))
    def delete(self, which: int, how: str) -> None:
        self.cluster.do(self.users.delete(which, how))

    @rule(which=which, budget=st.integers(0, 2))
    def create_service_and_budget(self, which: int, budget: int) -> None:
        self.cluster.do(self.users.create_service_and_budget(which, budget))

    @rule(which=which, low=st.integers(1, 2), more=small)
    def create_autoscaler(self, which: int, low: int, more: int) -> None:
        self.cluster.do(self.users.create_autoscaler(which, low, low + more))

    @rule(pods=st.integers(0, 8))
    def set_quota(self, pods: int) -> None:
        self.cluster.do(self.users.set_quota(pods))

    @rule()
    def lift_quota(self) -> None:
        self.cluster.do(self.users.lift_quota())

    @rule()
    def claim_volume(self) -> None:
        self.cluster.do(self.users.claim_volume())

    @rule()
    def delete_claim(self) -> None:
        self.cluster.do(self.users.delete_claim())

    @rule(which=st.integers(0, 20))
    def delete_pod(self, which: int) -> None:
        self.cluster.do(self.users.delete_pod(which))

    @rule(which=st.integers(0, 20), ready=flag)
    def pod_readiness(self, which: int, ready: bool) -> None:
        self.cluster.do(self.users.pod_readiness(which, ready))

    @rule(which=which, cordoned=flag)
    def cordon(self, which: int, cordoned: bool) -> None:
        self.cluster.do(self.users.cordon(which, cordoned))

    @rule(which=which, ready=flag)
    def node_readiness(self, which: int, ready: bool) -> None:
        self.cluster.do(self.users.node_readiness(which, ready))

    @rule(cpu=st.integers(1, 3))
    def add_node(self, cpu: int) -> None:
        self.cluster.do(self.users.add_node(cpu))

    @rule(which=which)
    def remove_node(self, which: int) -> None:
        self.cluster.do(self.users.remove_node(which))

    @rule(thousandths=st.integers(10, 300))
    def wait(self, thousandths: int) -> None:
        """So that the next rule meets work that is half done."""
        self.cluster.do(self.users.wait(thousandths / 1000))

    @rule()
    def rest(self) -> None:
        self.cluster.do(self.users.rest(finished=False), 200)

    @rule(which=which, image=small)
    def roll_calmly(self, which: int, image: int) -> None:
        """Without other disturbance, no pods are missing but as many as maxUnavailable says."""
        self.cluster.do(self.users.roll_calmly(which, image), 400)

    @rule(which=which)
    def evict_calmly(self, which: int) -> None:
        """Without other disturbance, a budget's pods are never fewer than it says, however many evictions there are."""
        self.cluster.do(self.users.evict_calmly(which), 400)

    @invariant()
    def nothing_forbidden_happened(self) -> None:
        assert not self.cluster.auditor.violations, self.users.told(self.cluster.auditor.violations)
        assert not self.cluster.errors.found, self.users.told(self.cluster.errors.found)

    def teardown(self) -> None:
        if hasattr(self, "users"):
            self.cluster.do(self.users.end(), 500)
            self.nothing_forbidden_happened()


@pytest.mark.timeout(0 if LARGE else 600)
def test_random_users(cluster: StatesCluster) -> None:
    class Here(Machine):
        pass

    Here.cluster = cluster
    run_state_machine_as_test(seed(int(SEED))(Here) if SEED is not None else Here, settings=SETTINGS)
