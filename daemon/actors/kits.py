"""What kits must be told: which recipes changed, and what their components have now."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

from attrs import define, field

from daemon.actors.actor import Actor, Part
from daemon.domain.kits import Assemble, ComponentLevel, Kit, holders_of, load_recipe
from daemon.domain.observations import Recipe
from daemon.domain.sku import Sku
from daemon.storage.codec import Cause, pack, unpack
from daemon.storage.dead_letters import DeadLetters
from daemon.storage.store import Store
from daemon.storage.tables import META


@define
class KitNews:
    """Remembers which components moved until their kits are told. `kits`: what kits are made of at present."""

    kits: Mapping[str, Recipe]
    store: Store
    dead_letters: DeadLetters
    peek: Callable[[str], Sku | None]
    moved: dict[str, Cause] = field(factory=dict)
    """Components of which their kits must be told anew, with what moved them."""
    holders: dict[str, tuple[str, ...]] = field(init=False)
    """For each component the kits that hold it."""

    def __attrs_post_init__(self) -> None:
        self.holders = holders_of(self.kits)

    def mind(self, sku: str, cause: Cause) -> None:
        """Something happened to this SKU: if it is a component, its kits must know."""
        if sku in self.holders:
            self.moved[sku] = cause

    def refresh(self, kit: str) -> None:
        """This kit was told nothing for a while; what its components have now is all it needs."""
        self.moved |= {component: Cause("retry") for component, _ in self.kits.get(kit, ())}

    def told(self, actor_of: Callable[[str], Actor], deaf: Container[str]) -> list[Part]:
        """What components that moved have now, for each kit that holds them and is not `deaf`."""
        moved, self.moved = self.moved, {}
        parts = []
        for component, cause in moved.items():
            actor = actor_of(component)
            level = ComponentLevel(component, actor.state.available, actor.seq, self.dead_letters.poison(component))
            parts += [Part(kit, level, cause) for kit in self.holders[component] if kit not in deaf]
        return parts

    def at_start(self) -> list[Part]:
        """The recipes that changed since the last life, for the logs of their kits and of SKUs that are kits no more.
        Also remembers what kits do not know of their components (they were in quarantine, say)."""
        before, cause, parts = self._recorded(), Cause("start"), []
        present = {component: self._present(component) for component in self.holders}
        for sku in sorted({*before, *self.kits}):
            known, recipe = self._kit(sku), self.kits.get(sku, ())
            if recipe != (known.recipe if known else ()):
                parts.append(Part(sku, Assemble(recipe), cause))
            for component, _ in recipe:
                level = known.levels.get(component) if known else None
                if level is None or (level.available, level.stuck) != present[component]:
                    self.moved[component] = cause
        return parts

    def record(self) -> None:
        """In one transaction with `at_start`: what the log calls a kit must be known to end some day."""
        if self._recorded() != self.kits:
            self.store.put(META, b"kits", pack(dict(self.kits)))

    def _recorded(self) -> dict[str, Recipe]:
        stored = self.store.env.get(META, b"kits")
        return {kit: load_recipe(recipe) for kit, recipe in unpack(stored).items()} if stored else {}

    def _present(self, component: str) -> tuple[int | None, str]:
        state = self.peek(component)
        return (state.available if state is not None else None, self.dead_letters.poison(component))

    def _kit(self, sku: str) -> Kit | None:
        state = self.peek(sku)
        return state.kit if state is not None else None
