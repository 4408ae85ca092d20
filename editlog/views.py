"""The views that an auditor asks: SQL text over the log's two tables, at one position and one moment in the world.

Each view reads `main.events` and `main.texts` (docs/FORMAT.md) or views above it, and shows what the log said
after event `as_of`; where validity counts, at `valid_at`. docs/QUERIES.md describes every column. Names that begin
with an underscore are steps on the way, and no part of the contract.

The folds here are those of `editlog.history`; a test holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from editlog.texts import naive

_OUTCOMES = "('facts.applied', 'facts.failed', 'facts.held')"
_HOLDS = "(valid_from IS NULL OR valid_from <= $valid_at) AND (valid_to IS NULL OR $valid_at < valid_to)"

_TEMPLATES: Mapping[str, str] = {
    "events": """
        SELECT seq, recorded_at, kind, actor, reason, job, body, 'sha256:' || lower(hex(hash)) AS hash
        FROM main.events WHERE seq <= $as_of""",
    "batches": """
        SELECT seq AS batch, recorded_at, actor, reason, body->>'origin' AS origin,
            body->>'origin_sha256' AS origin_sha256,
            (body->>'accepted')::BIGINT AS accepted, (body->>'duplicate')::BIGINT AS duplicate,
            (body->>'superseding')::BIGINT AS superseding, (body->>'stale_repeat')::BIGINT AS stale_repeat,
            (body->>'rejected')::BIGINT AS rejected, (body->>'converted')::BIGINT AS converted
        FROM events WHERE kind = 'ingest.batch'""",
    "_outcomes": f"""
        SELECT seq, recorded_at, coalesce(item.job, job) AS job, actor, kind, pack, item.fact AS fact,
            item.expert AS expert, item.reason AS why
        FROM (SELECT seq, recorded_at, job, actor, kind, body->>'pack' AS pack,
                unnest(from_json(body->'facts',
                    '[{{"fact": "BIGINT", "expert": "VARCHAR", "reason": "VARCHAR", "job": "VARCHAR"}}]')) AS item
            FROM events WHERE kind IN {_OUTCOMES})""",
    "_retired": """
        SELECT seq, recorded_at, job, actor, reason, unnest(from_json(body->'experts', '["VARCHAR"]')) AS expert
        FROM events WHERE kind = 'experts.retired'""",
    "_retracted": """
        SELECT (body->>'fact')::BIGINT AS fact, max(seq) AS seq, max_by(recorded_at, seq) AS recorded_at,
            max_by(actor, seq) AS actor, max_by(reason, seq) AS reason, max_by(body->>'revert', seq) AS revert
        FROM events WHERE kind = 'fact.retracted' GROUP BY 1""",
    "_puts": f"""
        SELECT e.seq, e.recorded_at, e.actor, e.reason, (e.body->>'batch')::BIGINT AS batch, t.* EXCLUDE (seq),
            {_HOLDS} AS holds
        FROM events AS e LEFT JOIN main.texts AS t USING (seq) WHERE e.kind = 'fact.put'""",
    "_governing": """
        SELECT key, max(seq) AS seq FROM _puts
        WHERE key IS NOT NULL AND seq NOT IN (SELECT fact FROM _retracted) GROUP BY key""",
    # An expert that was retired carries nothing until it is applied again.
    "_down": """
        SELECT expert FROM (
            SELECT expert, seq, true AS retired FROM _retired
            UNION ALL SELECT expert, seq, false FROM _outcomes WHERE expert IN (SELECT expert FROM _retired))
        GROUP BY expert HAVING max_by(retired, seq)""",
    "_approved": """
        SELECT (body->>'fact')::BIGINT AS fact, max(seq) AS seq FROM events WHERE kind = 'fact.approved' GROUP BY 1""",
    # What was held waits again once it is approved.
    "_latest": """
        SELECT fact, o.kind AS kind, o.job AS job, o.expert AS expert, o.why AS why FROM (SELECT fact, max(seq) AS last,
                max_by({'kind': kind, 'job': job, 'expert': expert, 'why': why}, seq) AS o
            FROM _outcomes GROUP BY fact) LEFT JOIN _approved AS a USING (fact)
        WHERE (o.expert IS NULL OR o.expert NOT IN (SELECT expert FROM _down))
            AND NOT (o.kind = 'facts.held' AND coalesce(a.seq > last, false))""",
    # The fact that still answers for its key, where the one that governs it waits or is held.
    "_answering": """
        SELECT key, max(seq) AS seq FROM _puts JOIN _latest ON fact = seq
        WHERE key IS NOT NULL AND expert IS NOT NULL AND seq NOT IN (SELECT fact FROM _retracted) GROUP BY key""",
    "facts": """
        SELECT 'f' || p.seq AS fact, p.seq, p.prompt, p.target, p.subject, p.relation, p.source, p.author, p.id,
            p.valid_from, p.valid_to, p.holds, p.recorded_at, p.actor, p.reason, p.batch,
            CASE WHEN p.key IS NULL THEN 'redacted' WHEN r.fact IS NOT NULL THEN 'retracted'
                WHEN g.seq <> p.seq AND a.seq IS DISTINCT FROM p.seq THEN 'superseded'
                WHEN l.kind IS NULL THEN 'pending' ELSE substr(l.kind, 7) END AS status,
            coalesce(g.seq = p.seq, false) AS governs,
            CASE WHEN r.fact IS NULL AND g.seq <> p.seq THEN 'f' || g.seq END AS superseded_by,
            r.recorded_at AS retracted_at, l.job, l.expert, l.why
        FROM _puts AS p LEFT JOIN _governing AS g ON g.key = p.key LEFT JOIN _retracted AS r ON r.fact = p.seq
            LEFT JOIN _latest AS l ON l.fact = p.seq LEFT JOIN _answering AS a ON a.key = p.key""",
    "wordings": """
        SELECT 'f' || seq AS fact, 'prompt' AS kind, prompt AS wording, target AS answer
            FROM _puts WHERE prompt IS NOT NULL
        UNION ALL SELECT 'f' || seq, 'rephrase', unnest(from_json(more->'rephrases', '["VARCHAR"]')), target FROM _puts
        UNION ALL SELECT 'f' || seq, 'near miss', miss.prompt, miss.answer
            FROM (SELECT seq, unnest(from_json(more->'near_misses',
                '[{"prompt": "VARCHAR", "answer": "VARCHAR"}]')) AS miss FROM _puts)""",
    "outcomes": """
        SELECT o.seq, o.recorded_at, o.job, o.actor, 'f' || o.fact AS fact, p.prompt, p.target,
            substr(o.kind, 7) AS outcome, o.expert, o.pack, split_part(o.why, ':', 1) AS code, o.why
        FROM _outcomes AS o LEFT JOIN _puts AS p ON p.seq = o.fact""",
    "retractions": """
        SELECT r.seq, r.recorded_at, r.actor, r.reason, r.revert, 'f' || r.fact AS fact, p.prompt, p.target, p.source,
            p.actor AS put_by, p.recorded_at AS put_at
        FROM _retracted AS r LEFT JOIN _puts AS p ON p.seq = r.fact""",
    "supersessions": """
        SELECT e.seq, e.recorded_at, e.actor, e.reason, 'f' || e.seq AS fact,
            'f' || (e.body->>'supersedes') AS supersedes, new.prompt, old.target AS was, new.target AS is_now
        FROM events AS e JOIN _puts AS new USING (seq)
            JOIN _puts AS old ON old.seq = (e.body->>'supersedes')::BIGINT
        WHERE e.kind = 'fact.put'""",
    "redactions": """
        SELECT seq, recorded_at, actor, reason, 'f' || (body->>'fact') AS fact
        FROM events WHERE kind = 'fact.redacted'""",
    "jobs": """
        WITH counts AS (SELECT job, count(DISTINCT fact) FILTER (kind = 'facts.applied') AS applied,
                count(*) FILTER (kind = 'facts.failed') AS failed, count(*) FILTER (kind = 'facts.held') AS held
            FROM _outcomes GROUP BY job),
        started AS (SELECT * FROM events WHERE kind = 'job.started'
            QUALIFY row_number() OVER (PARTITION BY job ORDER BY seq) = 1),
        audited AS (SELECT * FROM events WHERE kind = 'job.audited'
            QUALIFY row_number() OVER (PARTITION BY job ORDER BY seq DESC) = 1),
        ended AS (SELECT * FROM events WHERE kind IN ('job.finished', 'job.failed')
            QUALIFY row_number() OVER (PARTITION BY job ORDER BY seq DESC) = 1)
        SELECT s.job, s.actor, s.reason, s.body->>'recipe' AS recipe, (s.body->>'seed')::BIGINT AS seed,
            s.seq AS started_seq, s.recorded_at AS started_at, e.seq AS ended_seq, e.recorded_at AS ended_at,
            coalesce(substr(e.kind, 5), 'unfinished') AS ended,
            coalesce(json_array_length(s.body->'facts'), 0)::BIGINT AS planned, coalesce(c.applied, 0) AS applied,
            coalesce(c.failed, 0) AS failed, coalesce(c.held, 0) AS held, (a.body->>'passed')::BOOLEAN AS passed,
            (a.body->>'reliability')::DOUBLE AS reliability, (a.body->>'locality')::DOUBLE AS locality,
            (a.body->>'retention')::DOUBLE AS retention, (e.body->>'seconds')::DOUBLE AS seconds
        FROM started AS s LEFT JOIN counts AS c USING (job) LEFT JOIN audited AS a USING (job)
            LEFT JOIN ended AS e USING (job)""",
    # When an expert carried a fact: from an outcome, or its expert's return, until whatever came next.
    "_carried": """
        WITH taken AS (SELECT seq, fact, kind, job, expert, lead(seq) OVER (PARTITION BY fact ORDER BY seq) AS next
            FROM _outcomes),
        back AS (SELECT DISTINCT expert, seq FROM _outcomes WHERE expert IN (SELECT expert FROM _retired)),
        starts AS (SELECT fact, expert, job, seq AS from_seq, next FROM taken WHERE kind = 'facts.applied'
            UNION ALL SELECT t.fact, t.expert, t.job, back.seq, t.next FROM taken AS t JOIN back USING (expert)
                WHERE t.kind = 'facts.applied' AND back.seq > t.seq AND (t.next IS NULL OR back.seq < t.next))
        SELECT s.fact, s.expert, s.job, s.from_seq, least(s.next, w.seq, min(r.seq)) AS to_seq
        FROM starts AS s LEFT JOIN _retracted AS w ON w.fact = s.fact AND w.seq > s.from_seq
            LEFT JOIN _retired AS r ON r.expert = s.expert AND r.seq > s.from_seq
        WHERE NOT EXISTS (SELECT 1 FROM _retracted AS gone WHERE gone.fact = s.fact AND gone.seq < s.from_seq)
        GROUP BY s.fact, s.expert, s.job, s.from_seq, s.next, w.seq""",
    # Of each key, at every event that changes anything, the newest fact that is carried and holds.
    "_told": """
        WITH live AS (SELECT c.*, p.key FROM _carried AS c JOIN _puts AS p ON p.seq = c.fact WHERE p.holds),
        points AS (SELECT key, from_seq AS seq FROM live UNION SELECT key, to_seq FROM live WHERE to_seq IS NOT NULL),
        told AS (SELECT points.key, points.seq, max(live.fact) AS fact, max_by(live.expert, live.fact) AS expert,
                max_by(live.job, live.fact) AS job
            FROM points LEFT JOIN live ON live.key = points.key AND live.from_seq <= points.seq
                AND (live.to_seq IS NULL OR points.seq < live.to_seq) GROUP BY points.key, points.seq),
        changes AS (SELECT *, lag(fact) OVER (PARTITION BY key ORDER BY seq) AS before,
                lag(expert) OVER (PARTITION BY key ORDER BY seq) AS carrier FROM told)
        SELECT key, fact, expert, job, seq AS from_seq, lead(seq) OVER (PARTITION BY key ORDER BY seq) AS to_seq
        FROM changes WHERE fact IS DISTINCT FROM before OR expert IS DISTINCT FROM carrier""",
    "answers": """
        SELECT 'f' || a.fact AS fact, p.prompt, p.target, p.subject, p.relation, p.source, p.author, a.expert, a.job,
            a.from_seq, began.recorded_at AS from_at, a.to_seq, ended.recorded_at AS to_at, ended.kind AS ended_by,
            ended.actor AS ended_actor, ended.reason AS ended_reason
        FROM _told AS a JOIN _puts AS p ON p.seq = a.fact JOIN events AS began ON began.seq = a.from_seq
            LEFT JOIN events AS ended ON ended.seq = a.to_seq""",
    "experts": """
        WITH carried AS (SELECT expert, list('f' || fact ORDER BY fact) AS facts FROM _carried WHERE to_seq IS NULL
                GROUP BY expert),
        answering AS (SELECT expert, count(*) AS n FROM _told WHERE to_seq IS NULL AND fact IS NOT NULL GROUP BY expert)
        SELECT o.expert, max_by(o.job, o.seq) AS job, max_by(o.pack, o.seq) AS pack, min(o.recorded_at) AS applied_at,
            coalesce(any_value(c.facts), []) AS facts, coalesce(any_value(a.n), 0) AS answering,
            CASE WHEN o.expert IN (SELECT expert FROM _down) THEN 'retired'
                WHEN any_value(a.n) IS NULL THEN 'idle' ELSE 'in use' END AS status,
            max(r.recorded_at) AS retired_at, max_by(r.reason, r.seq) AS retired_reason
        FROM _outcomes AS o LEFT JOIN carried AS c USING (expert) LEFT JOIN answering AS a USING (expert)
            LEFT JOIN _retired AS r USING (expert)
        WHERE o.expert IS NOT NULL GROUP BY o.expert""",
}

NAMES = (*(name for name in _TEMPLATES if not name.startswith("_")), "responses")
"""What an auditor may ask: these views, and the table of the response log (`editlog.responses`)."""


def views(as_of: int, valid_at: datetime) -> dict[str, str]:
    """Each view's name and SQL, in an order in which they can be made; `valid_at` is aware."""
    moment = f"TIMESTAMP '{naive(valid_at).isoformat(sep=' ')}'"
    filled = {"$as_of": str(int(as_of)), "$valid_at": moment}
    result = {}
    for name, template in _TEMPLATES.items():
        sql = template
        for placeholder, value in filled.items():
            sql = sql.replace(placeholder, value)
        result[name] = sql
    return result


def over_views(query: str, as_of: int, valid_at: datetime) -> str:
    """A query over the views as one statement, for a connection on which no view can be made."""
    parts = ",\n".join(f"{name} AS ({sql})" for name, sql in views(as_of, valid_at).items())
    return f"WITH {parts}\n{query}"
