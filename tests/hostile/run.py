"""Sends attacks to a server that runs, and tells what it did wrong."""

from __future__ import annotations

import itertools
import queue
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import orjson

from tests.hostile.attacks import Attack, drawn, named
from tests.hostile.wire import Reply, Wire

SENDERS = 4
WORST = 20  # findings after which nobody wants more
NOT_HTTP = ("text/plain", "text/html")


@dataclass
class Outcome:
    """What came of it. findings: (attack, what was wrong). memory: resident megabytes, after a tenth and at the end."""

    sent: int = 0
    seconds: float = 0.0
    codes: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    findings: list[tuple[str, str]] = field(default_factory=list)
    memory: tuple[float, float] = (0.0, 0.0)


def attacks(namespace: str, count: int, seed: int) -> Iterator[Attack]:
    """`count` of them: the named ones first (as far as they go), then what `seed` draws."""
    chance = random.Random(seed)
    return itertools.islice(itertools.chain(named(namespace), drawn(namespace, chance)), count)


def run(source: Iterator[Attack], count: int, port: int, tls: ssl.SSLContext, memory: Callable[[], float]) -> Outcome:
    """Send everything, from a few connections at once."""
    outcome, began = Outcome(), time.monotonic()
    waiting: queue.Queue[Attack | None] = queue.Queue(maxsize=100)
    lock = threading.Lock()

    def send() -> None:
        with Wire(port, tls) as wire:
            while (attack := waiting.get()) is not None:
                started = time.monotonic()
                try:
                    reply = wire.ask(attack.request, finish=attack.finish)
                    wrong = judge(attack, reply)
                    if attack.silent:
                        wire.close()  # what the server made of it is not what the next one is answered with
                except TimeoutError:
                    wire.close()
                    reply, wrong = Reply(0, {}, b"", closed=True), "no answer: it hangs"
                except OSError as error:
                    wire.close()
                    reply, wrong = Reply(0, {}, b"", closed=True), f"nobody listens: {error}"
                with lock:
                    outcome.sent += 1
                    outcome.codes[reply.code] += 1
                    outcome.slowest = max(outcome.slowest, time.monotonic() - started)
                    if wrong:
                        outcome.findings.append((attack.name, wrong))

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    early = 0.0
    try:
        for number, attack in enumerate(source):
            waiting.put(attack)
            if number == count // 10:
                early = memory()
            if len(outcome.findings) >= WORST:
                break
    finally:
        for _ in senders:
            waiting.put(None)
        for sender in senders:
            sender.join()
    outcome.seconds, outcome.memory = time.monotonic() - began, (early, memory())
    return outcome


def judge(attack: Attack, reply: Reply) -> str:
    """What is wrong with an answer; "" when nothing is."""
    if reply.code == 0:
        return "" if attack.silent else f"closed without an answer: {reply.body[:200]!r}"
    if reply.code >= 500:
        return f"{reply.code}: {reply.body[:500]!r}"
    if reply.code == 101:
        return "upgraded"
    if reply.code < 300:
        return f"accepted with {reply.code}" if attack.refused else ""
    if reply.headers.get("content-type", "").startswith(NOT_HTTP):
        return "" if attack.silent else f"{reply.code} is no Status: {reply.body[:200]!r}"
    if attack.request.startswith(b"HEAD "):
        return ""
    try:
        kind = orjson.loads(reply.body).get("kind")
    except (orjson.JSONDecodeError, AttributeError):
        kind = None
    return "" if kind == "Status" or reply.code < 400 else f"{reply.code} is no Status: {reply.body[:200]!r}"
