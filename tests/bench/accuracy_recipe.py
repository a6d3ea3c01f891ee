"""The numbers from which the accuracy world is made, and where each comes from."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Recipe:
    """The numbers of the world; counts are of the whole world unless they say "per".

    From the recipe: `horizon_days` to `label_share`, and `seeds_per_actor` (900 seeds over 30
    actors). Choices of this file: `benign_seeds`, large enough that 0.3 % is six seeds;
    `profile_share`, how many labels come from an intel profile and not from a reputation rule.
    """

    horizon_days: float = 1_500.0
    cdn: int = 20
    shared: int = 400
    shared_zipf: float = 0.7
    vps: int = 15_000
    parking: int = 10
    sinkhole: int = 5
    benign_names: int = 60_000
    benign_mix: tuple[float, float, float, float] = (0.35, 0.45, 0.05, 0.15)
    """CDN, shared, parking, VPS: where each resolution of a benign name points."""
    benign_mean_days: float = 250.0
    """Mean of the exponential length of a resolution; parked and sinkholed names use it too."""
    most_resolutions: int = 3
    """A name, benign or not, has 1 to this many resolutions, each number as likely."""
    actors: int = 30
    leases_per_actor: int = 12
    lease_days: tuple[float, float] = (60.0, 240.0)
    takeover_share: float = 0.08
    takeover_gap_days: tuple[float, float] = (5.0, 60.0)
    names_per_actor: int = 40
    actor_mix: tuple[float, float, float] = (0.75, 0.15, 0.10)
    """Own address, shared, CDN: where each resolution of an actor's name points."""
    later_parked: float = 0.30
    later_sinkholed: float = 0.12
    label_share: float = 0.35
    """Share of an actor's nodes (its names, and its addresses while leased) that are labelled."""
    seeds_per_actor: int = 30
    benign_seeds: int = 2_000
    profile_share: float = 0.5

    def scaled(self, factor: float) -> "Recipe":
        """Return a smaller or larger world with the same density of names per address."""

        def count(number: int) -> int:
            return max(1, round(number * factor))

        return replace(
            self,
            cdn=count(self.cdn),
            shared=count(self.shared),
            vps=count(self.vps),
            parking=count(self.parking),
            sinkhole=count(self.sinkhole),
            benign_names=count(self.benign_names),
            actors=count(self.actors),
            benign_seeds=count(self.benign_seeds),
        )
