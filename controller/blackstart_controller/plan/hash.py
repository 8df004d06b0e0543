"""The identity of a plan: what would be done, whoever numbered the orders."""

from __future__ import annotations

import dataclasses
import hashlib
import json

from blackstart_controller.plan.model import Plan


def plan_hash(plan: Plan) -> str:
    """Return 64 hex digits: SHA-256 over the plan's canonical JSON without order ids.

    Canonical: keys sorted, no spaces, ASCII. Two plans with one hash hit the same hosts in the same way.
    """
    data = dataclasses.asdict(plan)
    for order in data["orders"]:
        del order["id"]
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
