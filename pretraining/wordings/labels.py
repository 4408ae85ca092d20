"""Wikidata's labels as nouns, and the generic wordings they stand in.

Contract: `[X]` stands for the subject, `[R]` for the noun. A label without a noun of its own that is no noun
itself ("located in time zone") is left out: its wordings would be no English.
"""

import re

SEEN = (
    "The [R] of [X] is",
    "[X] has the [R]",
    "For [X], the [R] is",
    "The [R] for [X] is",
    "[X], whose [R] is",
    "What is the [R] of [X]?",
    "Who or what is the [R] of [X]?",
    "Name the [R] of [X].",
    "Tell me the [R] of [X].",
    "What [R] does [X] have?",
)
HELD_OUT = (
    "[X]'s [R] is",
    "In the case of [X], the [R] is",
    "What is [X]'s [R]?",
    "Do you know the [R] of [X]?",
)

# What to call the relations whose label is no noun.
_NOUNS = {
    "located in the administrative territorial entity": "administrative region",
    "located in or next to body of water": "adjacent body of water",
    "located in/on physical feature": "physical location",
    "located in time zone": "time zone",
    "located in protected area": "protected area",
    "located on street": "street",
    "educated at": "place of education",
    "owned by": "owner",
    "founded by": "founder",
    "named after": "namesake",
    "member of": "organization",
    "member of political party": "political party",
    "member of sports team": "sports team",
    "languages spoken, written or signed": "spoken language",
    "language of work or name": "language",
    "writing language": "written language",
    "religion or worldview": "religion",
    "made from material": "material",
    "award received": "award",
    "product or material produced or service provided": "product",
    "programmed in": "programming language",
    "office held by head of government": "office of the head of government",
    "office held by head of state": "office of the head of state",
    "distributed by": "distributor",
    "archives at": "archive",
    "commissioned by": "commissioner",
    "maintained by": "maintainer",
    "dedicated to": "dedicatee",
    "designed by": "designer",
    "position played on team / speciality": "playing position",
    "sports discipline competed in": "sports discipline",
    "director / manager": "manager",
    "military or police rank": "rank",
    "original language of film or TV show": "original language",
    "discoverer or inventor": "discoverer",
    "student of": "teacher",
    "nominated for": "nomination",
    "influenced by": "influence",
    "drafted by": "drafting team",
    "studied in": "field that studies it",
    "based on": "basis",
    "month of the year": "month",
    "mouth of the watercourse": "mouth",
    "convicted of": "conviction",
    "participant in": "event attended",
    "owner of": "possession",
    "located in statistical territorial entity": "statistical region",
    "interested in": "interest",
    "shares border with": "neighbour",
    "published in": "publication",
    "crosses": "crossed obstacle",
    "indigenous to": "native region",
    "commander of (DEPRECATED)": "command",
    "broadcast by": "broadcaster",
    "inspired by": "inspiration",
}
# Labels that say nothing an editor could want changed, or that have no single answer.
_USELESS = frozenset(
    {
        "different from",
        "described by source",
        "given name",
        "family name",
        "has part(s)",
        "said to be the same as",
        "partially coincident with",
        "documentation files at",
        "facet of",
        "uses",
        "replaces",
        "follows",
        "afflicts",
        "depicts",
        "commemorates",
        "connects with",
        "carries",
        "inflows",
        "outflows",
        "history of topic",
        "economy of topic",
        "geography of topic",
        "demographics of topic",
    }
)
_NO_NOUN = re.compile(
    r"\b(?:as|at|by|for|from|in|of|on|to|with|after)$"
    r"|^(?:has|is|does|used|applies|official observer|located|contains|present|practiced)\b"
    r"|[/(]"
)


def noun_of(label: str) -> str | None:
    """Return the noun that stands for the label in a sentence, or None where there is none."""
    if label in _USELESS:
        return None
    return _NOUNS.get(label) or (None if _NO_NOUN.search(label) else label)
