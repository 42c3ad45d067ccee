"""The only place where the API server's real objects are made and joined."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from apimachinery.api.catalogue import (
    CATALOGUE,
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    FLOWSCHEMAS,
    NAMESPACES,
    PERSISTENTVOLUMES,
    PODS,
    PRIORITYLEVELCONFIGURATIONS,
    ROLEBINDINGS,
    ROLES,
    SECRETS,
    VOLUMEATTACHMENTS,
    with_pod_resize,
)
from apimachinery.controller.glassbox import GlassBox
from apimachinery.kit.clock import Clock, SystemClock
from apimachinery.kit.jwt import Signer, load_private_key
from apimachinery.kit.tasks import cancel_and_wait, wait_first
from apimachinery.kit.trace import Trace
from apimachinery.meta import objects, status
from controlplane.apiserver.admission.plugins import Admission
from controlplane.apiserver.aggregation.wire import Aggregation
from controlplane.apiserver.audit import legacy
from controlplane.apiserver.audit.auditor import Auditor
from controlplane.apiserver.audit.log import LogFile
from controlplane.apiserver.audit.sinks import LogSink, Outlet, WebhookSink
from controlplane.apiserver.authn import front_proxy
from controlplane.apiserver.authn.authenticator import Authenticator
from controlplane.apiserver.authn.issuer import Issuer, keys_uri
from controlplane.apiserver.authn.reloading import Reloading
from controlplane.apiserver.authn.token_authenticators import TokenAuthenticators
from controlplane.apiserver.authn.tokens import Verifier
from controlplane.apiserver.authz.chain import Chain
from controlplane.apiserver.authz.node_graph import PodGraph, may_be_on_a_node
from controlplane.apiserver.authz.rbac import PolicyIndex
from controlplane.apiserver.authz.union import Union
from controlplane.apiserver.bootstrap.flow_control import ensure_flow_control, keep_conditions
from controlplane.apiserver.bootstrap.identity import IdentityLease
from controlplane.apiserver.bootstrap.kubernetes_service import KubernetesService
from controlplane.apiserver.bootstrap.legacy_token_tracking import LegacyTokenTracking
from controlplane.apiserver.bootstrap.objects import ensure_namespaces, ensure_priority_classes
from controlplane.apiserver.bootstrap.patience import until_answered
from controlplane.apiserver.bootstrap.roles import reconcile_policy
from controlplane.apiserver.bootstrap.trust import ensure_trust
from controlplane.apiserver.bootstrap.upkeep import Duty, keep
from controlplane.apiserver.config import Config
from controlplane.apiserver.discovery.enablement import enabled
from controlplane.apiserver.extensions.wire import Extensions
from controlplane.apiserver.fairness.controller import Fairness
from controlplane.apiserver.fairness.dumps import dumps
from controlplane.apiserver.fairness.inflight import InFlight
from controlplane.apiserver.front.browsers import Browsers
from controlplane.apiserver.front.components import Ask, Components, beside, within
from controlplane.apiserver.front.health import RELOAD_HOOK, started_parts
from controlplane.apiserver.front.resources import Resources
from controlplane.apiserver.front.routes import Routes
from controlplane.apiserver.front.server import Front
from controlplane.apiserver.registry.allocator import AddressPool, PortPool
from controlplane.apiserver.registry.feed import Feed
from controlplane.apiserver.registry.registry import Registry
from controlplane.apiserver.registry.store import ObjectStore
from controlplane.apiserver.remote import Remote
from controlplane.apiserver.storage.compactor import Compactor
from controlplane.apiserver.storage.interface import Storage, StorageError
from controlplane.apiserver.storage.timeline import TimeKeeper, Timeline
from controlplane.apiserver.strategies.component_status import PORTS, ComponentStatuses, Probe, local
from controlplane.apiserver.strategies.reviews import Reviews
from controlplane.apiserver.strategies.subresources import Subresources
from controlplane.apiserver.strategies.table import strategies
from controlplane.apiserver.strategies.token_request import TokenRequests
from controlplane.apiserver.streams.forward import Forwarder
from controlplane.apiserver.streams.wire import build as build_streams
from controlplane.apiserver.tables.render import Tables
from controlplane.apiserver.wire_identity import (
    authorizers_by_mode,
    keep_showing,
    of_flag,
    oidc_of,
    server_tls,
    token_authenticators,
    token_reviews,
)
from controlplane.apiserver.wire_storage import answers_within, open_storage, plugins_checked

if TYPE_CHECKING:
    from controlplane.apiserver.authn.oidc.authenticator import OIDCAuthenticator
    from controlplane.apiserver.authn.remote_reviews import RemoteReviews

log = logging.getLogger(__name__)

_NOBODY_WITHOUT_A_NAME = (
    "AnonymousAuth is not allowed with the AlwaysAllow authorizer. Resetting AnonymousAuth to false. "
    "You should use a different authorizer"
)

Object = dict[str, Any]


class ApiServer:
    """`start` returns when it serves and is ready; `run` serves until it is told to stop.

    components: how the control plane's other parts are, for `kubectl get componentstatuses`. boxes: their glass boxes.
    """

    def __init__(self, config: Config, clock: Clock, components: Mapping[str, Probe], boxes: Mapping[str, Ask]) -> None:
        self.config, self._clock, self._components, self._boxes = config, clock, components, boxes
        self._glass_box = GlassBox(Trace("kube-apiserver"))
        self._forwarder = Forwarder()
        self.port = config.secure_port
        self._ready = self._stopping = False
        self._token_reviews: RemoteReviews | None = None
        self._oidc: OIDCAuthenticator | None = None
        self._kubernetes: KubernetesService | None = None
        self._front_door: Front | None = None
        self._seats = _seats(config)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises OSError, ValueError, StorageError, Fatal when it cannot start."""
        async with AsyncExitStack() as undo:
            starting = asyncio.create_task(self.start(undo))
            await wait_first(stop, starting)
            await cancel_and_wait(starting)
            await stop.wait()
            await self._leave()

    async def _leave(self) -> None:
        """Who asks whether this server is ready hears at once that it is not, and it goes on serving for as long as
        --shutdown-delay-duration says, until nobody is sent to it any more (GenericAPIServer.RunWithContext)."""
        self._stopping = True
        config, delay = self.config, self.config.shutdown_delay_duration
        if self._kubernetes is None or self._front_door is None:
            return  # it never served
        if delay:
            log.info("serving for another %g s, no longer ready", delay)
            await _withdraw(self._kubernetes)
            await self._clock.sleep(delay)
        if config.shutdown_send_retry_after:
            await self._front_door.drain(config.request_timeout)

    async def start(self, undo: AsyncExitStack) -> None:
        """Serve; everything that was started is ended by `undo`."""
        config, clock = self.config, self._clock
        if config.anonymous_auth and config.anybody_may:
            log.warning(_NOBODY_WITHOUT_A_NAME)
        storage = await until_answered("opening the store", lambda: open_storage(config, clock), clock)
        undo.push_async_callback(storage.close)
        undo.push_async_callback(self._forwarder.close)
        policy, graph = PolicyIndex(), PodGraph()
        admission = Admission(config, lambda resource: ObjectStore(resource, storage), clock)
        undo.push_async_callback(admission.close)
        feeds = [*_feeds(config, storage, policy, graph, self._seats), *admission.feeds]
        tasks = [asyncio.create_task(feed.run()) for feed in feeds]
        undo.push_async_callback(cancel_and_wait, *tasks)
        self._token_reviews = token_reviews(config.token_webhook, clock)
        if self._token_reviews is not None:
            undo.push_async_callback(self._token_reviews.close)
        self._oidc = oidc_of(config, clock)
        if self._oidc is not None:
            undo.push_async_callback(self._oidc.close)
            self._oidc.start()
            if config.providers is not None and config.providers.file is not None:
                from controlplane.apiserver.authn.oidc.reload import Reloader

                reloader = Reloader(config.providers.file, self._oidc, clock)
                undo.push_async_callback(cancel_and_wait, asyncio.create_task(reloader.run()))
        authorizers = Chain(config.authorizers, authorizers_by_mode(config, policy, graph), clock)
        undo.push_async_callback(authorizers.close)

        addresses = [AddressPool(storage, network) for network in config.service_cluster_ip_ranges if network]
        ports = PortPool(storage, *config.service_node_port_range)
        choose = strategies(
            policy,
            addresses,
            ports,
            event_ttl=config.event_ttl,
            rbac="RBAC" in config.authorization_modes,
            now=clock.now,
            gates=config.feature_gates,
        )
        timeline = Timeline(keep=max(config.history_retention, config.etcd_compaction_interval))
        known = with_pod_resize() if config.feature_gates.get("InPlacePodVerticalScaling") else CATALOGUE
        own = enabled(known, config.runtime_config)
        registry = Registry(storage, choose, admission.chain, clock, timeline, own)
        admission.served = lambda: registry.catalogue
        admission.namespaces = lambda: registry.of(NAMESPACES)

        advertise = advertised(config)
        kubernetes = KubernetesService(
            registry, storage, addresses, ports, clock, advertise=advertise, port=config.secure_port,
            node_port=config.kubernetes_service_node_port,
        )  # fmt: skip
        self._aggregation = Aggregation(config, storage, registry, self._forwarder, clock)
        front = self._front(storage, registry, policy, authorizers.union, advertise, feeds)
        undo.push_async_callback(front.stop)
        undo.push_async_callback(registry.close)  # first: the front waits for its watches to end
        # Before anybody is heard: who asks for a new cluster's server all the time, as its kubelets do, would write the
        # first events of its nodes into a namespace that is not there yet, with rights that are not given yet.
        await until_answered("default roles", lambda: reconcile_policy(registry, clock), clock)
        await until_answered("system namespaces", lambda: ensure_namespaces(registry, clock), clock)
        context = server_tls(config)
        self.port = await front.start(
            config.bind_address, config.secure_port, context, share=config.permit_port_sharing
        )
        await until_answered("priority classes", lambda: ensure_priority_classes(registry, clock), clock)
        duties: dict[str, Duty] = {
            "system namespaces": lambda: ensure_namespaces(registry, clock),
            "flow control": lambda: ensure_flow_control(registry, clock),
            "cluster authentication": lambda: ensure_trust(registry, clock, front_proxy.published(config)),
        }
        for what, duty in duties.items():
            await until_answered(what, duty, clock)
        await until_answered("the kubernetes service", kubernetes.ensure, clock)
        extensions = Extensions(registry, storage, clock)
        await self._aggregation.start(undo, extensions.definitions)
        await extensions.start(undo)
        await until_answered("local APIServices", self._aggregation.ensure, clock)
        for feed in feeds:
            await feed.synced.wait()
        tracking = LegacyTokenTracking(registry, clock)
        showing = keep_showing(context, config, clock)
        loops = (kubernetes.run(), admission.run(), tracking.run(), keep(duties, clock), showing)
        beside = [asyncio.create_task(each) for each in loops]
        beside += self._memory(storage, timeline)
        if config.authorization_config is not None:
            beside.append(asyncio.create_task(authorizers.follow(config.authorization_config)))
        if _has_identity(config):
            beside.append(asyncio.create_task(IdentityLease(registry, clock).run()))
        if isinstance(self._seats, Fairness):
            beside.append(asyncio.create_task(keep_conditions(registry, self._seats, clock)))
        undo.push_async_callback(_withdraw, kubernetes)
        undo.push_async_callback(cancel_and_wait, *beside)
        self._kubernetes, self._front_door = kubernetes, front
        self._ready = True
        log.info("serving securely on %s:%d", config.bind_address, self.port)

    def _memory(self, storage: Storage, timeline: Timeline) -> list[asyncio.Task[None]]:
        """What remembers, and forgets, the store's history."""
        config, clock = self.config, self._clock
        tasks = [asyncio.create_task(TimeKeeper(storage, clock, timeline).run())]
        if config.etcd_compaction_interval:
            compactor = Compactor(
                storage,
                clock,
                timeline,
                retention=config.history_retention,
                interval=config.etcd_compaction_interval,
            )
            tasks.append(asyncio.create_task(compactor.run()))
        return tasks

    def _front(
        self,
        storage: Storage,
        registry: Registry,
        policy: PolicyIndex,
        authorizer: Union,
        advertise: str,
        feeds: list[Feed],
    ) -> Front:
        config, clock = self.config, self._clock

        async def lookup(plural: str, namespace: str, name: str) -> Object | None:
            resource = CATALOGUE.find("", "v1", plural)
            assert resource is not None
            return await registry.of(resource).store.find(namespace, name)

        async def mark(secret: Object, before: Object) -> None:
            try:
                await registry.of(SECRETS).store.replace(secret, before)
            except (status.ApiError, StorageError) as error:
                # Whoever wrote the Secret meanwhile may have noted the same; if not, the next use is noted.
                quiet = isinstance(error, status.ApiError) and (status.is_conflict(error) or status.is_not_found(error))
                level = logging.DEBUG if quiet else logging.WARNING
                log.log(level, "secret %s: its token's last use is not noted: %s", objects.key(secret), error)

        with of_flag("--service-account-key-file"):
            verifier = Verifier.load(config.service_account_key_files, config.service_account_issuers, config.audiences)
        bearers = TokenAuthenticators(
            token_authenticators(config, verifier, lookup, mark, clock, self._oidc, self._token_reviews)
        )
        signing = config.service_account_signing_key_file
        with of_flag("--service-account-signing-key-file"):
            signer = Reloading("the service account signing key", [signing], lambda: Signer(load_private_key(signing)))
        authenticator = Authenticator(
            bearers,
            clock,
            front_proxy=front_proxy.believed(config),
            anonymous=config.anonymous_auth and not config.anybody_may,
            anonymous_paths=config.anonymous_paths,
        )
        tokens = TokenRequests(
            registry,
            signer,
            config.service_account_issuer,
            config.audiences,
            clock,
            longest=config.max_token_expiration,
            extend=config.extend_token_expiration,
        )
        streams = build_streams(config, registry, self._forwarder)
        tables = Tables(clock)
        probes = {**self._components, **({"etcd-0": storage.healthy} if config.etcd_servers else {})}
        components = ComponentStatuses(probes, tables)
        reviews = Reviews(authorizer, bearers, policy)
        subresources = Subresources(registry, reviews, tokens, streams, components, tables)
        resources = Resources(registry, subresources, authorizer, tables, config.min_request_timeout)

        async def ping() -> None:
            return None

        async def bootstrapped() -> None:
            if not self._ready:
                raise RuntimeError("not finished")

        async def synced() -> None:
            if not all(feed.synced.is_set() for feed in feeds):
                raise RuntimeError("not synced")

        async def staying() -> None:
            if self._stopping:
                raise RuntimeError("process is shutting down")

        store = "etcd" if config.etcd_servers else "sqlite"
        checks = {
            "ping": ping,
            "log": ping,
            store: answers_within(config.etcd_healthcheck_timeout, storage),
            "etcd-readiness": answers_within(config.etcd_readycheck_timeout, storage),
            **plugins_checked(storage),
            "informer-sync": synced,
            **dict.fromkeys(
                started_parts(
                    fairness=isinstance(self._seats, Fairness),
                    identity=_has_identity(config),
                    proxying=config.proxy_client_cert_file is not None,
                ),
                bootstrapped,
            ),
            **({f"poststarthook/{RELOAD_HOOK}": bootstrapped} if config.encryption_reload else {}),
            "shutdown": staying,
        }
        keys = config.jwks_uri or keys_uri(config.external_hostname or advertise, config.secure_port)
        issuer = Issuer(config.service_account_issuer, keys, verifier)
        routes = Routes(
            resources,
            checks,
            f"{advertise}:{config.secure_port}",
            issuer,
            dumps(self._seats) if isinstance(self._seats, Fairness) else None,
            Components({"kube-apiserver": within(self._glass_box.answer), **self._boxes}),
        )
        route = self._aggregation.over(routes.serve)
        return Front(
            route,
            authenticator,
            authorizer,
            auditor=_auditor(config, clock),
            seats=self._seats,
            trace=self._glass_box.trace,
            browsers=_browsers(config),
            limit=config.request_timeout,
        )


def _browsers(config: Config) -> Browsers | None:
    told = config.cors_allowed_origins or config.hsts_directives
    return Browsers(config.cors_allowed_origins, config.hsts_directives) if told else None


async def _withdraw(kubernetes: KubernetesService) -> None:
    """The endpoints name this server no longer. Where the store does not answer its key expires there instead."""
    try:
        await kubernetes.withdraw()
    except (StorageError, status.ApiError) as error:
        log.warning("the kubernetes service still names this server: %s", error)


def build(
    config: Config,
    clock: Clock | None = None,
    components: Mapping[str, Probe] | None = None,
    boxes: Mapping[str, Ask] | None = None,
) -> ApiServer:
    """Join the parts. No I/O happens before `start` or `run`. components, boxes: those beside us when not given."""
    if components is None:
        components = {name: local(port) for name, port in PORTS.items()}
    if boxes is None:
        cert, key = config.proxy_client_cert_file, config.proxy_client_key_file
        boxes = {f"kube-{name}": beside(f"kube-{name}", port, cert, key) for name, port in PORTS.items()}
    return ApiServer(config, clock or SystemClock(), components, boxes)


def advertised(config: Config) -> str:
    """--advertise-address, or the address the machine would dial others from."""
    if config.advertise_address:
        return config.advertise_address
    if config.bind_address not in ("0.0.0.0", "::"):
        return config.bind_address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # TEST-NET-2: nothing is sent by connecting
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _seats(config: Config) -> Fairness | InFlight:
    if not config.priority_and_fairness:
        return InFlight(config.max_requests_inflight, config.max_mutating_requests_inflight)
    return Fairness(config.max_requests_inflight + config.max_mutating_requests_inflight)


def _feeds(
    config: Config, storage: Storage, policy: PolicyIndex, graph: PodGraph, seats: Fairness | InFlight
) -> list[Feed]:
    feeds = [
        Feed(storage, resource, policy.put, policy.drop)
        for resource in (CLUSTERROLES, CLUSTERROLEBINDINGS, ROLES, ROLEBINDINGS)
    ]
    if isinstance(seats, Fairness):
        feeds += [
            Feed(storage, resource, seats.put, seats.drop) for resource in (FLOWSCHEMAS, PRIORITYLEVELCONFIGURATIONS)
        ]
    if "Node" in config.authorization_modes:
        feeds += [
            Feed(storage, PODS, graph.put, graph.drop, may_be_on_a_node),
            *(Feed(storage, resource, graph.put, graph.drop) for resource in (PERSISTENTVOLUMES, VOLUMEATTACHMENTS)),
        ]
    return feeds


def _auditor(config: Config, clock: Clock) -> Auditor | None:
    """None when nothing is written, which costs nothing."""
    options, outlets = config.audit, list[Outlet]()
    if options.policy is None:
        return None
    if (told := options.log) is not None:
        log_file = LogFile(
            told.path,
            clock,
            max_bytes=told.max_size * 1024 * 1024,
            backups=told.max_backups,
            age=timedelta(days=told.max_age) if told.max_age else None,
            compress=told.compress,
        )
        outlets.append(Outlet(LogSink(log_file), told.delivery, clock, legacy.line if told.legacy else None))
    if (hook := options.webhook) is not None:
        remote = Remote(hook.client, clock, pause=hook.backoff, again=lambda error: True)
        outlets.append(Outlet(WebhookSink(remote), hook.delivery, clock))
    return Auditor(options.policy, outlets, clock) if outlets else None


def _has_identity(config: Config) -> bool:
    return config.feature_gates.get("APIServerIdentity", True)
