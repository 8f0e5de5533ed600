"""The requests that every engine benchmark sends, always the same.

Chat messages of mixed length and 8 to 128 new tokens each, greedy, with
natural ends allowed: what a queue of short jobs looks like.
"""

import random
from dataclasses import dataclass

_ASKS = (
    "Explain {} to a curious ten-year-old.",
    "Write a short product description for {}.",
    "List three questions a journalist would ask about {}.",
    "Give me a two-sentence summary of what people should know about {}.",
    "Draft a polite email that asks a colleague for an opinion on {}.",
    "What is the most common misunderstanding about {}, and how would you correct it?",
    "Compose four lines of verse about {}.",
    "I have five minutes before a meeting. Tell me the essentials of {} in plain words.",
    "Name two advantages and two drawbacks of {}.",
)
_THINGS = (
    "a bicycle that folds into a backpack",
    "tidal power stations",
    "keeping bees on a city roof",
    "the night train from Lisbon to Madrid",
    "sourdough bread that fails to rise",
    "a library where tools are lent like books",
    "why leaves change their colour in autumn",
    "paying by cash in small shops",
    "a kettle that whistles in tune",
    "learning to read sheet music as an adult",
    "rain gardens beside busy roads",
    "the four-day working week",
    "lighthouses without keepers",
    "a museum of broken umbrellas",
    "teaching chess in prisons",
    "old maps with islands that never existed",
)


@dataclass(frozen=True, slots=True)
class Job:
    """One chat request: what the user says and the most tokens to answer."""

    message: str
    max_tokens: int


def jobs(count: int, seed: int = 20) -> list[Job]:
    """The first `count` requests of the sequence that `seed` names."""
    chance = random.Random(seed)
    pairs = [(ask, thing) for thing in _THINGS for ask in _ASKS]
    chance.shuffle(pairs)
    return [
        Job(ask.format(thing), chance.randint(8, 128))
        for ask, thing in (pairs[i % len(pairs)] for i in range(count))
    ]
