"""The plain-text tables that wordings are written in: a relation, then one wording a line, then an empty line."""

from pathlib import Path


def read_table(name: str) -> dict[str, tuple[str, ...]]:
    """Return the wordings of every relation of the table in file `name` of this folder."""
    paragraphs = Path(__file__).with_name(name).read_text(encoding="utf-8").strip().split("\n\n")
    return {relation: tuple(lines) for relation, *lines in (paragraph.split("\n") for paragraph in paragraphs)}
