"""Metrics as plain text for people: what was measured, on how many rows, and nothing that was not."""

from __future__ import annotations

from collections.abc import Sequence

from lifelong.evaluation.metrics import Accuracy, Locality, Metrics

_ABSENT = "-"


def format_table(metrics: Metrics) -> str:
    """Several lines without a line feed at the end; `-` stands for what was not measured."""
    counts = metrics.counts
    answers = [
        _answers("reliability", metrics.reliability, metrics.oracle.reliability, counts["facts"]),
        _answers("generality", metrics.generality, metrics.oracle.generality, counts["generality"]),
        [
            "portability",
            _ABSENT,
            share(metrics.portability.exact),
            _ABSENT,
            _ABSENT,
            str(counts["portability"]),
        ],
        ["retention", _ABSENT, share(metrics.retention.exact), _ABSENT, _ABSENT, _ABSENT],
    ]
    kinds = metrics.locality
    locality = [
        _locality("unrelated", kinds.unrelated, counts["locality_unrelated"]),
        _locality("same relation", kinds.same_relation, counts["locality_same_relation"]),
        _locality("same subject", kinds.same_subject, counts["locality_same_subject"]),
    ]
    router = metrics.router
    return "\n".join(
        [
            f"edits {metrics.edits}, recipe {metrics.recipe or _ABSENT}, model {metrics.model or _ABSENT}",
            "",
            *columns(["answers", "token", "exact", "oracle token", "oracle exact", "rows"], answers),
            "",
            *columns(["locality", "agreement", "bit identical", "false hits", "rows"], locality),
            "",
            *columns(
                ["router", "recall", "precision", "right fact"],
                [["", share(router.recall), share(router.precision), share(router.right_fact)]],
            ),
            "",
            f"governed or mislabelled probes, in none of these figures: {metrics.governed_probes}",
            f"an edit: {_number(metrics.seconds_per_edit)} s, {_number(metrics.bytes_per_edit)} bytes; "
            f"peak memory: {_number(metrics.peak_mb)} MB",
            "counts: " + ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items()),
        ]
    )


def _answers(name: str, routed: Accuracy, oracle: Accuracy, rows: int) -> list[str]:
    shares = (routed.token, routed.exact, oracle.token, oracle.exact)
    return [name, *map(share, shares), str(rows)]


def _locality(name: str, kind: Locality, rows: int) -> list[str]:
    return [name, *map(share, (kind.agreement, kind.bit_identical, kind.false_hits)), str(rows)]


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of aligned columns, the first to the left and the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in (header, *rows)
    ]


def share(value: float | None) -> str:
    """A share of 0 to 1 to three places; `-` where it was not measured."""
    return _ABSENT if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.4g}"
