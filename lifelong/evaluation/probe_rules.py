"""Which probes count, and as what: rules on text and labels alone.

Those on locality were fixed before a gate was measured, but for `is_mislabelled`, which was changed once;
`is_corrected_again` came later, out of labels and the tuning half (docs/LOG.md).

A probe may be wrongly labelled (it asks the edited fact itself) or governed (another edit of the stream is
about it); such probes are reported apart and stand in no other figure. No model, no encoder and no score has
a say here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple, get_args

from editlog.canonical import fold
from lifelong.anchors.scope import mask_name
from lifelong.anchors.subject import Name, NameIndex
from lifelong.anchors.text import content_words, words

Kind = Literal["same_subject", "same_relation", "unrelated"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Correction(NamedTuple):
    """An edit as the rules see it: its prompt, its target, and what was true before it, where that is known."""

    prompt: str
    target: str
    truth: Collection[str]


_SAME_RELATION = 0.5
_STEM = 5
_MANNER = frozenset(
    """
    belong belongs associated known type kind specific famous take place find found work works
    """.split()  # noqa: SIM905
)


class Edit(NamedTuple):
    """An edit of a subject as `is_apart` sees it: its wordings, its answers (true and edited), and its relation."""

    wordings: Collection[str]
    answers: Collection[str]
    relation: str | None = None


def names(text: str, name: Name) -> bool:
    """Whether `text` names it, word for word."""
    return bool(NameIndex([name]).find(words(text)))


def kind_of(probe: str, name: Name, wordings: Iterable[str]) -> Kind:
    """What a locality probe shares with a fact of that name and those wordings.

    It names the subject; else it words the same relation (at least half of the content words of both, names
    masked, are common to it and one wording); else it is unrelated.
    """
    if names(probe, name):
        return "same_subject"
    said = content_words(mask_name(probe, name))
    for wording in wordings:
        meant = content_words(mask_name(wording, name))
        if said | meant and len(said & meant) / len(said | meant) >= _SAME_RELATION:
            return "same_relation"
    return "unrelated"


def is_mislabelled(
    probe: str,
    probe_answers: Iterable[str],
    name: Name,
    *,
    wordings: Iterable[str],
    answers: Iterable[str],
    relation: str | None = None,
) -> bool:
    """Whether a locality probe asks the edited fact itself.

    It names the subject, and either one of its answers is an answer of the fact (true or edited), or it says
    nothing of the subject that the fact's own wordings and the name of its relation do not say.
    """
    if not names(probe, name):
        return False
    if {fold(answer) for answer in probe_answers} & {fold(answer) for answer in answers}:
        return True
    said = _matter(mask_name(probe, name))
    own = frozenset(stem for wording in wordings for stem in _matter(mask_name(wording, name)))
    return bool(said) and said <= own | _matter(relation or "")


def _matter(masked: str) -> frozenset[str]:
    """Stems of the words that say what is asked, not how."""
    return frozenset(word[:_STEM] for word in content_words(masked) - _MANNER)


def is_corrected_again(prompt: str, truth: Collection[str], target: str, later: Iterable[Correction]) -> bool:
    """Whether one of the `later` edits of the same subject corrects this very fact in other words, to something else.

    It does so where both prompts are questions and an answer that was true before both edits is the same. Then the
    later edit governs whatever words the fact anew. A sentence to be continued says nothing so: a town may be where
    somebody was born and where they died.
    """
    told = {fold(answer) for answer in truth}
    return _asks(prompt) and any(
        _asks(one.prompt) and fold(one.target) != fold(target) and told & {fold(answer) for answer in one.truth}
        for one in later
    )


def _asks(prompt: str) -> bool:
    return prompt.rstrip().endswith("?")


def is_governed(probe: str, name: Name, others: NameIndex, wordings: Collection[str]) -> bool:
    """Whether another edit of the stream is about this probe.

    `others` finds the subjects of the stream, `wordings` are the folded prompts of its edits: the probe is
    one of these prompts, or it names a subject of the stream that is not this fact's own `name`. Another edit
    of the fact's own subject governs it where `is_mislabelled` says so of that edit.
    """
    return fold(probe) in wordings or any(span.name != name for span in others.find(words(probe)))


def is_apart(
    probe: str,
    probe_answers: Iterable[str],
    name: Name,
    *,
    others: NameIndex,
    prompts: Collection[str],
    edits: Iterable[Edit],
) -> bool:
    """Whether a locality probe of a fact about `name` is governed, or mislabelled for any of the subject's `edits`."""
    answers = tuple(probe_answers)
    return is_governed(probe, name, others, prompts) or any(
        is_mislabelled(probe, answers, name, wordings=edit.wordings, answers=edit.answers, relation=edit.relation)
        for edit in edits
    )
