"""What a job writes, written by hand."""

import json
from typing import Any

from editlog.events import Entry
from editlog.store import EditLog
from lifelong.layout import Layout

HOSTILE = '<script>alert(1)</script> & "Lyon"'


def expert(number: int) -> str:
    return f"sha256:{number:064x}"


def run_job(layout: Layout, log: EditLog, name: str, facts: dict[int, int], held: dict[int, str]) -> None:
    """What a job writes: `facts` with the number of the expert each got, `held` with the reason."""
    pack = f"{min(facts.values()):064x}"
    layout.experts.mkdir(exist_ok=True)
    (layout.experts / f"{pack}.safetensors").write_bytes(b"x" * 1000)
    started = {"facts": [*facts, *held], "seed": 0, "recipe": "default", "recipe_digest": "-", "base": "-"}
    log.append([Entry("job.started", started)], actor="night", job=name)
    audited = {"passed": True, "reliability": 1.0, "locality": 0.99, "retention": None}
    refused = [{"fact": seq, "reason": why} for seq, why in held.items()]
    entries = [
        Entry("job.audited", audited),
        Entry("facts.applied", {"facts": [{"fact": s, "expert": expert(e)} for s, e in facts.items()], "pack": pack}),
        *([Entry("facts.held", {"facts": refused})] if refused else []),
        Entry("job.finished", {"facts": len(facts) + len(held), "seconds": 2.5}),
    ]
    log.append(entries, actor="night", job=name)
    said: dict[str, Any] = {
        "peak_mb": 512.0,
        "findings": [],
        "not_admitted": [{"fact": "f99", "code": "flood", "reason": "its source changes 40 governed keys at once"}],
        "failed": [],
        "held": [{"fact": f"f{seq}", "wording": HOSTILE, "answer": "Paris"} for seq in held],
    }
    (layout.runs / name).mkdir(parents=True)
    (layout.runs / name / "report.json").write_text(json.dumps(said), encoding="utf-8")
