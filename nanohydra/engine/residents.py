"""The adapters that an engine has at hand: loaded, pinned by requests, evicted when unused.

Loading checks and casts in the caller's thread and then only names the result, so that it never
holds up a step. A request keeps what it pinned: an adapter that is unloaded meanwhile leaves with
its last request. Knows nothing of rows and models' calls; safe from any thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from nanohydra.adapters.base import base_hash
from nanohydra.adapters.batch import ReadyAdapter, make_ready
from nanohydra.adapters.weights import AdapterWeights
from nanohydra.core.errors import UserError
from nanohydra.engine.request import QueueFull
from nanohydra.model import Decoder


@dataclass(eq=False, slots=True)
class Resident:
    """One adapter, how many requests have pinned it, and whether it leaves with the last."""

    adapter: ReadyAdapter
    num_pins: int = 0
    leaving: bool = False


class Residents:
    """Adapters by id, the least recently used first.

    capacity: how many at most. prepare: called with each before it may be named.
    """

    def __init__(
        self, model: Decoder, capacity: int, prepare: Callable[[ReadyAdapter], None]
    ) -> None:
        self.model = model
        self.capacity = capacity
        self.prepare = prepare
        self.num_loads = 0
        self.num_evictions = 0
        self._by_id: OrderedDict[str, Resident] = OrderedDict()
        self._changed = threading.Condition()

    @cached_property
    def base(self) -> str:
        """The hash of the model's weights, computed when it is first asked for."""
        return base_hash(self.model)

    @property
    def ids(self) -> tuple[str, ...]:
        """Those that requests may name now, the least recently used first."""
        with self._changed:
            return tuple(id for id, resident in self._by_id.items() if not resident.leaving)

    @property
    def num_bytes(self) -> int:
        """Memory of all that are held."""
        with self._changed:
            return sum(resident.adapter.num_bytes for resident in self._by_id.values())

    def load(self, weights: AdapterWeights) -> str:
        """Make an adapter available and return its id; one that is there already is touched.

        Takes the place of the least recently used one that no request has pinned. Raises
        UserError for an adapter that does not fit the model, QueueFull if all are pinned.
        """
        id = weights.id
        if self._touch(id):
            return id
        adapter = make_ready(self.model, weights, base=self.base, id=id)
        self.prepare(adapter)
        with self._changed:
            if not self._touch(id):
                self._make_room()
                self._by_id[id] = Resident(adapter)
                self.num_loads += 1
        return id

    def unload(self, id: str) -> bool:
        """Give an adapter up: new requests are refused. True if it is gone already.

        If False, it goes with its last request. Raises UserError if it is not there.
        """
        with self._changed:
            resident = self._by_id.get(id)
            if resident is None:
                raise self._unknown(id)
            resident.leaving = True
            return self._drop_if_unused(id, resident)

    def wait_until_gone(self, id: str, timeout_s: float | None = None) -> bool:
        """Block until an unloaded adapter has gone; False if it has not, or is wanted again."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_leaving(id), timeout_s)
            return id not in self._by_id

    def check(self, id: str, *, held: bool = False) -> None:
        """Raise UserError unless the adapter may be pinned now; `held` as in `pin`."""
        with self._changed:
            self._find(id, held)

    def pin(self, id: str, *, held: bool = False) -> ReadyAdapter:
        """Keep an adapter until `release`. Raises UserError if it is not loaded.

        held: the caller has pinned it already, so that it may have been unloaded meanwhile.
        """
        with self._changed:
            resident = self._find(id, held)
            resident.num_pins += 1
            self._by_id.move_to_end(id)
            return resident.adapter

    def release(self, id: str) -> None:
        """Take one pin back."""
        with self._changed:
            resident = self._by_id[id]
            assert resident.num_pins > 0
            resident.num_pins -= 1
            self._drop_if_unused(id, resident)

    def _touch(self, id: str) -> bool:
        with self._changed:
            resident = self._by_id.get(id)
            if resident is not None:
                resident.leaving = False
                self._by_id.move_to_end(id)
                self._changed.notify_all()
            return resident is not None

    # From here on: with the lock held.

    def _find(self, id: str, held: bool) -> Resident:
        resident = self._by_id.get(id)
        if resident is None or (resident.leaving and not held):
            raise self._unknown(id)
        return resident

    def _is_leaving(self, id: str) -> bool:
        resident = self._by_id.get(id)
        return resident is not None and resident.leaving

    def _make_room(self) -> None:
        while len(self._by_id) >= self.capacity:
            unused = (id for id, resident in self._by_id.items() if not resident.num_pins)
            id = next(unused, None)
            if id is None:
                raise QueueFull(
                    f"all {self.capacity} resident adapters are in use; try again later, or "
                    "raise engine.max_adapters"
                )
            del self._by_id[id]
            self.num_evictions += 1

    def _drop_if_unused(self, id: str, resident: Resident) -> bool:
        if not resident.leaving or resident.num_pins:
            return False
        del self._by_id[id]
        self._changed.notify_all()
        return True

    def _unknown(self, id: str) -> UserError:
        known = [name for name, resident in self._by_id.items() if not resident.leaving]
        hint = f"loaded are {', '.join(known[-8:])}" if known else "none is loaded"
        return UserError(f"adapter {id!r} is not loaded; {hint}")


class Hold:
    """Keeps an adapter pinned until it is closed or dropped. Safe to close twice."""

    def __init__(self, release: Callable[[], None] | None = None) -> None:
        self._release = release

    def close(self) -> None:
        """Give the adapter back. No lock is taken in here: __del__ may run at any moment."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def __del__(self) -> None:
        self.close()
