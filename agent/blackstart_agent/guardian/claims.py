"""What only one order may change at a time. Orders are armed side by side, so taking is one step."""

from __future__ import annotations

import threading
from collections.abc import Collection


class Claims:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: dict[str, str] = {}  # claim: order id

    def take(self, order_id: str, claims: Collection[str]) -> list[str]:
        """All of them are this order's; or none is, and each that another order has is named."""
        with self._lock:
            taken = sorted(claim for claim in claims if self._owners.get(claim, order_id) != order_id)
            if not taken:
                self._owners.update(dict.fromkeys(claims, order_id))
            return [f"{claim} is changed by order {self._owners[claim]} already; wait" for claim in taken]

    def give_back(self, order_id: str) -> None:
        """The order has none any more."""
        with self._lock:
            self._owners = {claim: owner for claim, owner in self._owners.items() if owner != order_id}
