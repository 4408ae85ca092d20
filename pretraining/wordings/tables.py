"""The plain-text tables that wordings are written in: a relation, then one wording a line, then an empty line."""


def parsed(table: str) -> dict[str, tuple[str, ...]]:
    """Return the wordings of every relation of the table."""
    paragraphs = (paragraph.split("\n") for paragraph in table.strip().split("\n\n"))
    return {relation: tuple(lines) for relation, *lines in paragraphs}
