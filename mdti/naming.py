"""Which actors a piece of text names: rule descriptions, article titles and tags.

Microsoft's intel profiles are the authority: a name resolves to a profile by its title or one of
its aliases, so `DEV-0563` and the name that followed it are one actor. A name that no profile knows
stands for itself, but only where the text is expected to hold an actor's name.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mdti.models import ActorRef, IntelProfile

MAX_NAME = 80
"""Longest text in characters that may stand for an unknown actor's name; a longer one is prose."""

# Microsoft names actors by weather, and groups in development by number:
# learn.microsoft.com, "How Microsoft names threat actors".
_WEATHER = (
    "Blizzard|Cyclone|Dust|Flood|Hail|Lightning|Rain|Sandstorm|Sleet|Storm|Tempest|Tsunami|Typhoon"
)
_TAXONOMY = re.compile(rf"\b(?:[A-Z][a-z]+ (?:{_WEATHER})|(?:Storm|DEV)-\d{{4}})\b")
_INTRODUCED = re.compile(r"\bthreat actors?\s+(?P<name>[A-Z][\w-]*(?: [A-Z][\w-]*){0,3})")
_ALSO = re.compile(
    r"^\W*(?:(?:also|formerly) known as|(?:also )?tracked as|formerly|previously|aka|a\.k\.a\.)\s+",
    re.IGNORECASE,
)
_NAME_WORD = re.compile(r"[^\W_a-z][\w.'#-]*")  # a small letter in front is prose
_SPACES = re.compile(r"[^\S\n]+")
_SEPARATORS = re.compile(r"[,;|\n&(]| / |\band\b| (?=(?:also known as|aka)\b)")


@dataclass(frozen=True)
class ActorNames:
    """Resolves names to actors; built from all intel profiles.

    A profile of kind `tool` owns its names as well, so that a tool is never taken for an actor.
    """

    profiles: Mapping[str, IntelProfile] = field(default_factory=dict)

    @classmethod
    def of(cls, profiles: Iterable[IntelProfile]) -> "ActorNames":
        """Return the names of `profiles`."""
        return cls({profile.id: profile for profile in profiles})

    @cached_property
    def _owners(self) -> dict[str, IntelProfile]:
        """Map each folded name to its profile: titles before aliases, actors before tools."""
        owners: dict[str, IntelProfile] = {}
        ranked = sorted(self.profiles.values(), key=lambda p: (p.kind != "actor", p.title, p.id))
        for profile in ranked:
            owners.setdefault(_fold(profile.title), profile)
        for profile in ranked:
            for alias in profile.aliases:
                owners.setdefault(_fold(alias), profile)
        owners.pop("", None)
        return owners

    @cached_property
    def _known(self) -> re.Pattern[str] | None:
        """Match any known name as whole words, the longest first."""
        names = sorted(self._owners, key=lambda name: (-len(name), name))
        if not names:
            return None
        return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, names))})(?![\w-])")

    def profile(self, name: str) -> IntelProfile | None:
        """Return the profile with this title or alias, whatever its case, or None."""
        return self._owners.get(_fold(name))

    def resolve(self, name: str) -> ActorRef | None:
        """Return the actor of that name; None for a tool's name; an unknown name is its own."""
        profile = self.profile(name)
        if profile is None:
            return ActorRef(" ".join(name.split()))
        return ActorRef(profile.title, profile.id) if profile.kind == "actor" else None

    def known_in(self, text: str) -> tuple[ActorRef, ...]:
        """Return the actors with an intel profile that `text` names."""
        found = {} if self._known is None else dict.fromkeys(self._known.findall(_fold(text)))
        profiles = [self._owners[name] for name in found]
        actors = {ActorRef(p.title, p.id) for p in profiles if p.kind == "actor"}
        return tuple(sorted(actors))

    def named_in(self, text: str) -> tuple[ActorRef, ...]:
        """Return the actors that `text` names, known or not, without taking prose for a name.

        For texts that may name an actor among other things, such as a watch-list rule.
        """
        actors = set(self.known_in(text))
        for found in (*_TAXONOMY.findall(text), *_INTRODUCED.findall(text)):
            actor = self.resolve(found)
            if actor is not None and not _inside(actor, actors):
                actors.add(actor)
        return tuple(sorted(actors))

    def listed_in(self, text: str) -> tuple[ActorRef, ...]:
        """Return the actors that `text`, a list of names, consists of.

        For a rule whose description is expected to hold the names alone. Names are separated by
        commas, semicolons or `and`; `also known as` joins a name to the one before it. A text that
        holds no known name and is not a plausible name names nobody.
        """
        actors: list[ActorRef] = []
        tidy = _SPACES.sub(" ", text)
        for part in filter(None, (piece.strip(" .)") for piece in _SEPARATORS.split(tidy))):
            alias = _ALSO.match(part)
            name = part[alias.end() :] if alias else part
            profile = self.profile(name)
            if profile is not None and profile.kind != "actor":
                continue
            actor = ActorRef(profile.title, profile.id) if profile else None
            if alias and actors:
                if actor is not None and actors[-1].profile_id is None:
                    actors[-1] = actor
                continue
            found = [actor] if actor else list(self.named_in(part)) or _plausible(name)
            actors += found
        if not actors:
            return self.known_in(text)
        return tuple(sorted(set(actors)))


def _plausible(name: str) -> list[ActorRef]:
    """Return `name` as an unknown actor's unless it reads like a sentence or a URL."""
    words = name.split()
    if len(name) > MAX_NAME or not 1 <= len(words) <= 4 or "://" in name:
        return []
    if not name[0].isupper() or not all(_NAME_WORD.fullmatch(word) for word in words):
        return []
    return [ActorRef(" ".join(words))]


def _inside(actor: ActorRef, others: Iterable[ActorRef]) -> bool:
    """True when the unknown `actor` is only a part or an extension of a known one's name."""
    folded = _fold(actor.name)
    return actor.profile_id is None and any(
        _fold(other.name) in folded or folded in _fold(other.name) for other in others
    )


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())
