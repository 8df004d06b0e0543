"""Good documents, from which the tests make bad ones by one replacement each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

EXPERIMENT: Final = """\
experiment: pangyo-goes-dark
description: The largest site loses power.
owner: sre@example.com
tags: [site]
seed: 7
mode: tethered
lease: 15s
baseline: 3s
settle: 2s
watch: 60s
limits: {max_hosts: 10, max_sites: 3, max_skew: 50ms}
steps:
  - fault: site.blackout
    site: pangyo
    units: kill
    for: 30s
    at: 0s
  - fault: host.blackout
    on: "role=db"
    pick: {count: 1}
    for: 10s
  - fault: network.partition
    on: site=pangyo
    from: {site: busan}
    ports: [6379]
    direction: both
    verdict: drop
    for: 10s
  - fault: process.kill
    on: role=db
    unit: redis
    for: 10s
  - fault: unit.stop
    on: role=db
    units: [redis]
    for: 1m30s
services:
  - name: login
    members: role=login
    probes:
      - tcp: {address: "w1:8080"}
  - name: messenger
    members: role=messenger
    depends_on: [login]
    objective: {rto: 10s, rpo: 0s}
    observers: site!=pangyo
    every: 100ms
    timeout: 1s
    probes:
      - redis: {addresses: ["m1:26379"], sentinel_master: messenger, write: true}
      - http: {url: "http://w1:8080/health", expect_status: [200], expect_body: ok}
      - nats: {addresses: ["n1:4222"], publish: news.probe}
      - command: {name: check-login}
"""

FLOW: Final = """\
experiment: in-order
parameters:
  site: {default: pangyo, description: The site that goes dark, choices: [pangyo, busan]}
  hold: {default: 30s}
  number: {default: 2}
limits: {max_service_share: 50%}
steps:
  - sequence:
      - fault: process.kill
        on: role=db,site=${site}
        unit: redis
        for: ${hold}
        pick: {count: "${number}"}
      - wait: 20s
      - wait: {for: 10s, steady: 5s}
      - parallel:
          - {fault: site.blackout, site: "${site}", for: 3s, at: 2s}
          - {fault: unit.stop, on: role=db, units: [redis], for: 4s}
  - at: 1m
    repeat:
      times: 3
      pause: 9s
      steady: 4s
      steps: [{fault: host.blackout, on: role=login, for: 6s}]
  - waves:
      on: site=busan
      sizes: [1, 10%, 50%, 100%]
      pause: 8s
      steady: 3s
      fault: {fault: process.pause, unit: redis, for: 7s}
services:
  - name: messenger
    members: role=messenger
    probes: [{tcp: {address: "gw:80"}}]
stop:
  - service: {name: messenger, failing_for: 20s}
  - metric: {name: errors, prometheus: "https://prom:9090", query: up, above: 0.05, for: 11s, every: 6s}
  - webhook: {name: freeze, url: "https://ops.example/go", every: 12s}
  - probe: {name: gateway, failing_for: 13s, observers: site=jeju, every: 14s, tcp: {address: "gw:81"}}
"""

LAB: Final = """\
lab: demo
sites:
  pangyo: {latency: 1ms, subnet: 10.7.0.0/24}
  busan:
hosts:
  m1:
    site: pangyo
    labels: {role: messenger}
    agent: true
    units:
      redis:
        command: [redis-server, /etc/messenger.conf, --port, 6379]
        user: nobody
        environment: {LANG: C}
        after: [other]
        ready: {tcp: 6379}
        files:
          /etc/messenger.conf: |
            bind {{ host.address }}
            replicaof {{ hosts.m-2.address }} 6379
          /usr/local/bin/check: {text: "exit 0", mode: 0755}
      other: {command: [sleep, "9"]}
  m-2: {site: busan}
  control: {site: busan, controller: true}
"""


def changed(document: str, old: str, new: str) -> str:
    """Return `document` with its only `old` replaced."""
    assert document.count(old) == 1, f"{old!r} must be in the document exactly once"
    return document.replace(old, new)


@dataclass(frozen=True, slots=True)
class Mistake:
    """Put `new` in place of `old` in a good document, and exactly `expected` is told."""

    name: str
    old: str
    new: str
    expected: str


def read_mistakes(kind: str) -> list[Mistake]:
    """Return the mistakes of `mistakes_KIND.txt`: `# name`, lines of old (-), new (+), expected (>)."""
    text = (Path(__file__).parent / f"mistakes_{kind}.txt").read_text(encoding="utf-8")
    return [_mistake(block.splitlines()) for block in text.split("\n\n")]


def _mistake(lines: list[str]) -> Mistake:
    def part(mark: str) -> str:
        return "\n".join(line[2:] for line in lines if line.startswith(mark))

    return Mistake(part("# "), part("- "), part("+ "), part("> "))
