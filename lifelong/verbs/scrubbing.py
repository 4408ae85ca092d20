"""Taking a fact's words out of the files that quote it: rejects, reports of jobs, exports inside the workspace.

What these files say beside the words stays. A file of somebody else's making is never changed, but named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

from editlog.canonical import canonical_json
from editlog.fact import Fact
from lifelong.files import write_atomically
from lifelong.layout import Layout

REDACTED = "[redacted]"
PAGE_OF_REDACTED = (
    b"<!doctype html>\nIt told of a redacted fact; `lifelong report --since JOB --out FILE` writes it anew.\n"
)
_SHORT = 3  # a shorter target says nothing inside a longer string: it must be all of it
_LEADING = 80  # what is cut off after so many characters is found by its beginning
_QUOTED = ("wording", "answer", "excerpt")
_MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Words:
    """What must be found nowhere: the wordings of redacted facts and those of their targets that nobody else has.

    `refs` are the facts' names, `commitments` those of their events, by which their lines in an export are known.
    """

    texts: frozenset[str]
    refs: frozenset[str]
    commitments: frozenset[str]

    def are_in(self, text: str) -> bool:
        """Whether a string holds any of the words, as they are or as JSON writes them."""
        return any(_holds(text, form) for word in self.texts for form in _forms(word))

    def are_in_bytes(self, content: bytes) -> bool:
        """Whether a file's bytes hold any of the words that are long enough to say something."""
        forms = (form for word in self.texts if len(word) >= _SHORT for form in _forms(word))
        return any(form.encode() in content for form in forms)


def words_of(
    facts: Iterable[Fact], others: Iterable[Fact], *, refs: Iterable[str], commitments: Iterable[str]
) -> Words:
    """The words of facts to be redacted; a target that one of the `others` (live facts) has as well may stay."""
    kept = {fact.target for fact in others}
    texts: set[str] = set()
    for fact in facts:
        texts.update(fact.wordings)
        if fact.target not in kept:
            texts.add(fact.target)
    return Words(frozenset(texts), frozenset(refs), frozenset(commitments))


def scrub(layout: Layout, words: Words, *, dry_run: bool) -> tuple[list[Path], list[Path]]:
    """Take the words out of every file that quotes them; returns those changed, and those that only a person may."""
    changed, left = [], []
    for path in _files(layout):
        if path.stat().st_size > _MAX_BYTES:
            left.append(path)
            continue
        content = path.read_bytes()
        ours = layout.runs in path.parents or layout.rejects in path.parents
        is_page = ours and path.suffix == ".html"
        scrubbed = _page(content, words) if is_page else _scrubbed(content, words, whole=ours)
        if scrubbed != content:
            changed.append(path)
            if not dry_run:
                write_atomically(path, scrubbed, point="scrub")
        if not ours and words.are_in_bytes(scrubbed):
            left.append(path)
    return changed, left


def _files(layout: Layout) -> Iterator[Path]:
    """Every regular file of the workspace but those that are made anew: log, packs, snapshots and unfinished waves."""
    anew = {layout.log, layout.experts, layout.snapshots}
    for path in sorted(layout.home.rglob("*")):
        parents = set(path.parents)
        waves = any(parent.name == "waves" and layout.runs in parent.parents for parent in parents)
        if path.is_file() and not path.is_symlink() and not waves and not parents & anew:
            yield path


def _scrubbed(content: bytes, words: Words, *, whole: bool) -> bytes:
    """The content without the words: line by line where it is JSON lines; `whole` for files that are our own."""
    lines = content.splitlines(keepends=True)
    return b"".join(_line(line, words, whole=whole) for line in lines)


def _page(content: bytes, words: Words) -> bytes:
    """A page as it is, or, where it tells of a redacted fact, one that says so: the log can write it anew."""
    text = content.decode("utf-8", "replace")
    told = words.are_in(unescape(text)) or any(f">{ref}<" in text for ref in words.refs)
    return PAGE_OF_REDACTED if told else content


def _line(line: bytes, words: Words, *, whole: bool) -> bytes:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return b"" if whole and words.are_in_bytes(line) else line
    if isinstance(value, dict) and _is_export_of(value, words.commitments):
        kept = {name: value[name] for name in ("event", "hash")}
        return b'{"event":%b,"hash":%b}\n' % (canonical_json(kept["event"]), canonical_json(kept["hash"]))
    if not whole:
        return line
    scrubbed = _value(value, words)
    return line if scrubbed == value else canonical_json(scrubbed) + b"\n"


def _is_export_of(value: dict[str, Any], commitments: frozenset[str]) -> bool:
    event = value.get("event")
    if not isinstance(event, dict) or not isinstance(event.get("body"), dict) or "record" not in value:
        return False
    return event["body"].get("commitment") in commitments and "hash" in value


def _value(value: Any, words: Words) -> Any:
    if isinstance(value, str):
        return REDACTED if words.are_in(value) else value
    if isinstance(value, list):
        return [_value(item, words) for item in value]
    if isinstance(value, dict):
        of_ours = value.get("fact") in words.refs
        return {
            key: REDACTED if of_ours and key in _QUOTED and item else _value(item, words) for key, item in value.items()
        }
    return value


def _forms(word: str) -> set[str]:
    """A word as it may stand in a file: plain, and as JSON escapes it; a long one also by its beginning."""
    beginnings = {word, word[:_LEADING]}
    plain = {json.dumps(text, ensure_ascii=False)[1:-1] for text in beginnings}
    return beginnings | plain | {json.dumps(text)[1:-1] for text in beginnings}


def _holds(text: str, form: str) -> bool:
    return form in text if len(form) >= _SHORT else text.strip() == form


def forgotten(words: Words) -> Callable[[dict[str, Any]], bool]:
    """Which answers of the response log must go: those under a redacted fact, and those that quote its words."""

    def gone(response: dict[str, Any]) -> bool:
        return response.get("fact") in words.refs or any(
            isinstance(value, str) and words.are_in(value) for value in response.values()
        )

    return gone
