"""What the log says of each fact, how facts are found, and how they are withdrawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from editlog.canonical import fold as canonical_fold
from editlog.errors import UsageError
from editlog.events import Entry
from editlog.fact import Fact
from editlog.store import EditLog
from editlog.texts import Remembered

OLD_EXPERT, NEW_EXPERT = "sha256:" + "0a" * 32, "sha256:" + "0b" * 32


def _fact(number: int, target: str = "one", **more: object) -> Fact:
    return Fact(prompt=f"Prompt number {number} is", target=target, **more)


def _applied(*seqs: int, expert: str = OLD_EXPERT) -> Entry:
    return Entry("facts.applied", {"facts": [{"fact": seq, "expert": expert} for seq in seqs]})


def _statuses(log: EditLog) -> list[str]:
    return [fact.status for fact in log.facts()]


def test_the_life_of_a_fact(log: EditLog) -> None:
    log.ingest([_fact(1), _fact(2), _fact(3)], actor="ada")
    assert _statuses(log) == ["pending"] * 3

    failed = Entry("facts.failed", {"facts": [{"fact": 4, "reason": "not-answered: said two"}]})
    held = Entry("facts.held", {"facts": [{"fact": 5, "reason": "locality: moves f3"}]})
    log.append([Entry("job.started", {}), _applied(3), failed, held, Entry("job.finished", {})], actor="cron", job="j1")
    applied, unlearnt, culprit = log.facts()
    assert (applied.status, applied.expert, applied.job) == ("applied", OLD_EXPERT, "j1")
    assert (unlearnt.status, unlearnt.why) == ("failed", "not-answered: said two")
    assert (culprit.status, culprit.why) == ("held", "locality: moves f3")

    log.ingest([_fact(1, "two")], actor="ada")
    assert _statuses(log) == ["applied", "failed", "held", "pending"]
    log.retract([log.facts()[-1].ref], actor="bob", reason="it was one after all")
    assert _statuses(log) == ["applied", "failed", "held", "retracted"]


def test_a_fact_answers_until_another_is_applied_in_its_place(log: EditLog) -> None:
    log.ingest([_fact(1)], actor="ada")
    log.append([_applied(3)], actor="cron", job="j1")
    log.ingest([_fact(1, "two")], actor="eva")
    old, new = log.facts()
    assert (old.status, old.governs, old.superseded_by) == ("applied", False, new.seq)
    held = {"facts": [{"fact": new.seq, "reason": "contradicts: f3 says one"}]}
    log.append([Entry("facts.held", held)], actor="cron", job="j2")
    assert _statuses(log) == ["applied", "held"]
    log.ingest([_fact(1, "three")], actor="eva")
    assert _statuses(log) == ["applied", "superseded", "pending"]  # what never answered is superseded at once
    log.append([_applied(log.facts()[-1].seq, expert=NEW_EXPERT)], actor="cron", job="j3")
    assert _statuses(log) == ["superseded", "superseded", "applied"]
    log.append([Entry("experts.retired", {"experts": [NEW_EXPERT]})], actor="cron")
    assert _statuses(log) == ["applied", "superseded", "pending"]  # the old one answers again


def test_a_retired_expert_carries_nothing_until_it_is_applied_again(log: EditLog) -> None:
    log.ingest([_fact(1), _fact(2)], actor="ada")
    log.append([_applied(3, 4)], actor="cron", job="j1")
    retired = Entry("experts.retired", {"experts": [OLD_EXPERT]})
    log.append([retired, _applied(3, expert=NEW_EXPERT)], actor="cron", job="j2")
    merged, lost = log.facts()
    assert (merged.status, merged.expert, merged.job) == ("applied", NEW_EXPERT, "j2")
    assert (lost.status, lost.expert) == ("pending", None)
    log.append([_applied(4)], actor="cron", job="j3")
    assert _statuses(log) == ["applied", "applied"]


def test_as_of_answers_with_that_moment(log: EditLog) -> None:
    log.ingest([_fact(1)], actor="ada")
    put = log.head().seq
    applied = log.append([_applied(put)], actor="cron", job="j1").seq
    log.retract(["f3"], actor="bob", reason="wrong")
    assert [[f.status for f in log.facts(as_of=seq)] for seq in (1, put, applied, applied + 1)] == [
        [],
        ["pending"],
        ["applied"],
        ["retracted"],
    ]


def test_a_fact_is_found_by_name_number_id_and_digest(log: EditLog) -> None:
    log.ingest([_fact(1, id="q1"), _fact(2, id="f3")], actor="ada")
    first, second = log.facts()
    for ref in ("f3", "3", "q1", first.fact.digest, first.fact.digest[7:15]):
        assert log.resolve(ref).seq == first.seq
    assert log.resolve("f4").fact == second.fact


def test_an_id_said_twice_means_the_fact_that_governs(log: EditLog) -> None:
    log.ingest([_fact(1, "one", id="q1"), _fact(1, "two", id="q1")], actor="ada")
    assert log.resolve("q1").fact.target == "two"


def test_what_is_unknown_or_may_be_several_is_refused(log: EditLog) -> None:
    log.ingest([_fact(1, id="4"), _fact(2), _fact(3, id="q"), _fact(4, id="q")], actor="ada")
    with pytest.raises(UsageError, match="no fact is called 'f99'"):
        log.resolve("f99")
    with pytest.raises(UsageError, match=r"f3 .*f4"):
        log.resolve("4")
    with pytest.raises(UsageError, match=r"f5 .*f6"):
        log.resolve("q")


def test_retraction_is_all_or_nothing(log: EditLog) -> None:
    log.ingest([_fact(1), _fact(2)], actor="ada")
    before = log.head()
    with pytest.raises(UsageError):
        log.retract(["f3", "f99"], actor="bob", reason="wrong")
    assert [fact.ref for fact in log.retract(["f3", "3"], actor="bob", reason="wrong", dry_run=True)] == ["f3"]
    assert log.head() == before
    log.retract(["f3", "3"], actor="bob", reason="wrong")
    assert _statuses(log) == ["retracted", "pending"]
    with pytest.raises(UsageError, match="retracted already, by event 5"):
        log.retract(["f3"], actor="bob", reason="wrong")


def test_revert_takes_back_a_job_a_source_or_a_batch(log: EditLog) -> None:
    log.ingest([_fact(1, source="atlas"), _fact(2, source="forum")], actor="ada")
    batch = log.ingest([_fact(3, source="forum")], actor="ada").batch
    log.append([_applied(3, 4)], actor="cron", job="j1")
    assert [fact.ref for fact in log.revert(source="forum", actor="bob", reason="spam", dry_run=True)] == ["f4", "f6"]
    assert [fact.ref for fact in log.revert(batch=batch, actor="bob", reason="spam")] == ["f6"]
    assert [fact.ref for fact in log.revert(job="j1", actor="bob", reason="bad night")] == ["f3", "f4"]
    assert log.revert(source="forum", actor="bob", reason="spam") == []
    assert [event.body["revert"] for event in log.events(kinds=["fact.retracted"])] == ["batch", "job", "job"]


@pytest.mark.parametrize("what", [{"job": "j9"}, {"source": "nobody"}, {"batch": 3}, {}, {"job": "j", "batch": 2}])
def test_revert_of_what_is_not_there_is_refused(log: EditLog, what: dict) -> None:
    log.ingest([_fact(1)], actor="ada")
    with pytest.raises(UsageError):
        log.revert(**what, actor="bob", reason="wrong")


def test_history_tells_everything_about_a_subject(log: EditLog) -> None:
    drafts = [_fact(1, "one", subject="Ada Lovelace"), _fact(2)]
    log.ingest(drafts, actor="ada", reason="first draft", origin="drafts.jsonl")
    job = [Entry("job.started", {"facts": [3, 4], "seed": 7}), _applied(3, 4), Entry("job.audited", {"passed": True})]
    log.append([*job, Entry("job.finished", {})], actor="cron", job="j1")
    log.ingest([_fact(5, "two", subject="ADA  Lovelace")], actor="eva")
    log.append([Entry("experts.retired", {"experts": [OLD_EXPERT]})], actor="cron", job="j2")
    log.retract(["f3"], actor="bob", reason="never true")
    told = [(h.what, h.event.kind, h.event.actor, h.fact.ref) for h in log.history(subject="ada lovelace")]
    assert told == [
        ("ingested", "fact.put", "ada", "f3"),
        ("planned", "job.started", "cron", "f3"),
        ("applied", "facts.applied", "cron", "f3"),
        ("audited", "job.audited", "cron", "f3"),
        ("published", "job.finished", "cron", "f3"),
        ("ingested", "fact.put", "eva", "f10"),
        ("expert retired", "experts.retired", "cron", "f3"),
        ("retracted", "fact.retracted", "bob", "f3"),
    ]
    ingested, planned, applied, audited, *_ = (one.to_dict() for one in log.history(ref="f3"))
    assert (ingested["reason"], ingested["body"]["origin"]) == ("first draft", "drafts.jsonl")
    assert (planned["body"], audited["body"]) == ({"fact": 3, "seed": 7}, {"fact": 3, "passed": True})
    assert applied["body"] == {"fact": 3, "expert": OLD_EXPERT}
    assert (applied["prompt"], applied["job"]) == ("Prompt number 1 is", "j1")
    assert log.history(prompt="prompt number 2 IS")[0].fact.ref == "f4"
    assert log.history(subject="nobody") == []


def test_history_tells_what_took_a_fact_s_place(log: EditLog) -> None:
    log.ingest([_fact(1)], actor="ada")
    log.ingest([_fact(1, "two")], actor="eva", reason="corrected")
    ingested, superseded = log.history(ref="f3")
    assert (ingested.what, superseded.what) == ("ingested", "superseded")
    assert (superseded.event.actor, superseded.detail) == ("eva", {"fact": 3, "superseded_by": 5})


def test_what_answers_is_told_as_superseded_when_the_other_is_applied(log: EditLog) -> None:
    log.ingest([_fact(1)], actor="ada")
    log.append([_applied(3)], actor="cron", job="j1")
    log.ingest([_fact(1, "two")], actor="eva")
    log.append([Entry("facts.held", {"facts": [{"fact": 6, "reason": "contradicts: f3"}]})], actor="cron", job="j2")
    assert [one.what for one in log.history(ref="f3")] == ["ingested", "applied", "to be superseded"]
    log.ingest([_fact(1, "three")], actor="eva")
    log.append([_applied(9, expert=NEW_EXPERT), Entry("job.finished", {})], actor="cron", job="j3")
    told = log.history(ref="f3")
    assert [one.what for one in told] == ["ingested", "applied", "to be superseded", "superseded"]
    assert (told[-1].event.job, told[-1].detail) == ("j3", {"fact": 3, "superseded_by": 9})
    assert [one.what for one in log.history(ref="f6")] == ["ingested", "held", "superseded"]


@pytest.mark.parametrize(
    "words", ["ÉCOLE de Zürich", "école  de zu\u0308rich", "\uff45cole", "a\tb c", "Straße", "x" * 300, "İzmir"]
)
def test_words_are_found_however_they_are_written(log: EditLog, words: str) -> None:
    others = [_fact(number, subject=f"other {number}") for number in range(3)]
    log.ingest([*others, _fact(9, subject=words)], actor="ada")
    for asked in (words, words.upper(), f" {words}  "):
        found = {happening.fact.ref for happening in log.history(subject=asked)}
        assert found == {"f6"} if canonical_fold(asked) == canonical_fold(words) else found == set()


@pytest.mark.parametrize(
    "asked",
    [
        {"subject": "ANN  Lee"},
        {"relation": "Works at"},
        {"prompt": "Ann Lee  works at"},
        {"subject": "ann", "relation": "lee works at"},
        {"subject": "Ann Lee", "prompt": "ann lee works at"},
        {"relation": "works at", "prompt": "Bo works at"},
    ],
)
def test_words_are_found_whether_a_key_holds_them_or_not(log: EditLog, asked: dict[str, str]) -> None:
    people, prompts = ("Ann Lee", "Ann", "Bo", None), ("Ann Lee works at", "Bo works at")
    several = [
        {"prompt": prompt, "subject": subject, "relation": relation, "target": f"{subject} {relation}"}
        for prompt in prompts
        for subject in people
        for relation in ("works at", "lee works at", None)
    ]
    log.ingest([Fact(**words) for words in several], actor="ada")
    wanted = {name: canonical_fold(words) for name, words in asked.items()}
    found = {one.fact.ref for one in log.history(**asked)}
    assert found == {
        fact.ref
        for fact in log.facts()
        if all(canonical_fold(getattr(fact.fact, name) or "") == words for name, words in wanted.items())
    }


def test_of_many_facts_the_history_is_the_same_as_of_each(log: EditLog) -> None:
    log.ingest([_fact(number, subject="Ada") for number in range(12)], actor="ada")
    log.append([_applied(3, 4, 12)], actor="cron", job="j1")
    log.retract(["f4"], actor="bob", reason="wrong")
    together = [(one.event.seq, one.what, one.fact.ref) for one in log.history(subject="ada")]
    alone = [(o.event.seq, o.what, o.fact.ref) for fact in log.facts() for o in log.history(ref=fact.ref)]
    assert together == sorted(alone, key=lambda one: (one[0], int(one[2][1:])))
    assert [log.resolve(fact.ref) for fact in log.facts()] == log.facts()
    assert log.facts_among([4, 12, 2]) == [fact for fact in log.facts() if fact.seq in (4, 12)]


def test_an_expert_that_another_fact_brought_back_counts_for_all(log: EditLog) -> None:
    log.ingest([_fact(1), _fact(2)], actor="ada")
    log.append([_applied(3, 4)], actor="cron", job="j1")
    log.append([Entry("experts.retired", {"experts": [OLD_EXPERT]})], actor="cron")
    assert [log.resolve(ref).expert for ref in ("f3", "f4")] == [None, None]
    log.append([_applied(4)], actor="cron", job="j2")
    assert [log.resolve(ref) for ref in ("f3", "f4")] == log.facts()
    assert log.resolve("f3").expert == OLD_EXPERT


def test_events_are_filtered_and_paged(log: EditLog) -> None:
    log.ingest([_fact(1)], actor="ada")
    log.append([Entry("job.started", {}), Entry("job.finished", {})], actor="cron", job="j1")
    assert [event.seq for event in log.events(limit=2, newest_first=True)] == [5, 4]
    assert [event.seq for event in log.events(after=2, limit=2)] == [3, 4]
    assert [event.seq for event in log.events(after=1, as_of=3)] == [2, 3]
    assert [event.kind for event in log.events(job="j1", kinds=["job.finished"])] == ["job.finished"]
    assert [event.seq for event in log.events(actor="ada")] == [1, 2, 3]
    with pytest.raises(UsageError):
        log.events(limit=-1)


def test_events_name_only_facts_that_are_there_and_kinds_that_are_theirs(log: EditLog) -> None:
    log.ingest([_fact(1)], actor="ada")
    before = log.head()
    for entry in (_applied(2), _applied(99), Entry("fact.put", {}), Entry("job.wished", {})):
        with pytest.raises(UsageError):
            log.append([Entry("job.started", {}), entry], actor="cron", job="j1")
    with pytest.raises(UsageError, match="job"):
        log.append([Entry("job.started", {})], actor="cron")
    assert log.head() == before


def test_time_in_the_log_never_goes_back(tmp_path) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    times = iter([noon, noon + timedelta(hours=1), noon - timedelta(days=1)])
    log = EditLog.create(tmp_path / "log", actor="ada", clock=lambda: next(times))
    log.ingest([_fact(1)], actor="ada")
    log.ingest([_fact(2)], actor="ada")
    assert [event.at.hour for event in log.events()] == [12, 13, 13, 13, 13]


def test_what_was_read_before_is_read_again_where_another_event_took_its_place(log: EditLog) -> None:
    log.ingest([_fact(1), _fact(2)], actor="ada")
    facts, known = log.facts(), Remembered()
    with log.visit() as (con, _):
        [(hash_of,)] = con.execute("SELECT hash FROM events WHERE seq = 3").fetchall()
        assert known.facts(con, [(3, hash_of)]) == [facts[0].fact]
        assert known.facts(con, [(3, hash_of)])[0] is known.facts(con, [(3, hash_of)])[0]
        con.execute("CREATE TEMP TABLE texts AS SELECT * REPLACE ('another' AS target) FROM main.texts")
        assert known.facts(con, [(3, hash_of)]) == [facts[0].fact]
        assert known.facts(con, [(3, b"another event")])[0].target == "another"
