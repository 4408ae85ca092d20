"""The model card: `card.md` filled in with measured figures and the corpus report.

Contract: no number in a card is written by hand; all of them come from the arguments of `write_card`.
"""

from pathlib import Path
from typing import Any

from pretraining import corpus
from pretraining.export import CARD

_TEMPLATE = Path(__file__).with_name("card.md")


_SOURCES = {corpus.PARAREL: "ParaRel", corpus.WIKIDATA: "Wikidata", corpus.QUESTIONS: "the streams' questions"}
_FORMS = {
    "statement": "statement",
    "question": "question",
    "marked_question": "`Question: ... Answer:`",
    "chat": "question in the chat template",
}
_NOTES = {
    "seen": "note about the fact, wordings and note forms of training: answers what the note says",
    "held_out": "likewise, wording of note and of prompt and form of the note held out",
    "chat": "likewise, in the chat template",
    "other_subject": "note about another subject of the same relation: answer stays",
    "other_relation": "note about something else of the subject: answer stays",
}


def _share(cell: dict[str, Any] | None, counted: str) -> str:
    return f"{cell['exact']:.3f} ({cell[counted]:,})" if cell else ""


def _known_rows(figures: dict[str, Any]) -> str:
    rows = []
    for source, label in _SOURCES.items():
        for form, words in _FORMS.items():
            cells = [figures[source].get(f"{split}_{form}") for split in ("seen", "held_out")]
            if any(cells):
                rows.append(f"| {label}, {words} | {' | '.join(_share(cell, 'facts') for cell in cells)} |")
    return "\n".join(rows)


def _note_rows(figures: dict[str, Any]) -> str:
    return "\n".join(f"| {words} | {_share(figures['notes'][name], 'notes')} |" for name, words in _NOTES.items())


def _ceiling_rows(figures: dict[str, Any]) -> str:
    rows = [
        f"| {line['stream']} | {line['facts']:,} | {line['reliability']:.3f} | {line['generality']:.3f} |"
        for line in figures["ceiling"]
    ]
    mean = sum(line["generality"] for line in figures["ceiling"]) / len(figures["ceiling"])
    return "\n".join([*rows, f"| mean | | | {mean:.3f} |"])


def write_card(folder: Path, identity: dict[str, Any], report: dict[str, Any], figures: dict[str, Any]) -> None:
    """Write the card into the model's folder."""
    text = _TEMPLATE.read_text(encoding="utf-8").format(
        **identity["settings"],
        **figures["perplexity"],
        name=identity["name"],
        version=identity["version"],
        device=identity["device"],
        prompt=identity["example"]["prompt"],
        answer=identity["example"]["answer"],
        parameters=figures["parameters"],
        known=_known_rows(figures),
        notes=_note_rows(figures),
        ceiling=_ceiling_rows(figures),
        counterfact=figures["counterfact_new_target_answered"],
        tokens_seen=identity["tokens"],
        minutes=identity["seconds"] / 60,
        facts=report["facts"],
        **report["facts_by_source"],
        note_subjects_told=report["note_subjects"],
        relations=len(report["held_out_wordings"]),
        per_relation=identity["settings"]["facts_per_relation"],
        digest=report["facts_sha256"],
        documents=report["text_documents"],
        held_out_relations=", ".join(report["held_out_relations"]),
        held_out_wordings="\n".join(
            f"| {relation} | {', '.join(f'`{wording}`' for wording in wordings)} |"
            for relation, wordings in report["held_out_wordings"].items()
        ),
        refused=", ".join(f"{reason}: {count:,}" for reason, count in report["refused"].items()),
    )
    (folder / CARD).write_text(text, encoding="utf-8")
