"""`log recover` from a terminal: damage is named with exit code 6, the way back is one command."""

from __future__ import annotations

import shutil
from pathlib import Path

from terminal import Cli


def spoil_log(copy: Cli) -> None:
    with (copy.home / "log" / "edits.duckdb").open("r+b") as file:
        file.truncate(20_000)


def test_6_every_verb_names_the_damage_and_recover_brings_it_back(copy: Cli, tmp_path: Path) -> None:
    export = tmp_path / "export.jsonl"
    assert copy("log", "export", str(export), "--with-texts").code == 0
    before = copy("log", "list", "--limit", "0", "--json").json
    spoil_log(copy)
    for words in (["log", "list"], ["status"], ["ingest", "-"], ["fact", "show", "f4"]):
        done = copy(*words, stdin='{"prompt": "p", "target": "t"}\n')
        assert (done.code, done.out) == (6, ""), words
        assert "edits.duckdb" in done.err
    assert copy("log", "verify").code == 6

    dry = copy("log", "recover", "--from", str(export), "--dry-run", "--json")
    assert (dry.code, dry.json["complete"], dry.json["kept"]) == (0, True, len(before))
    assert copy("log", "verify").code == 6

    done = copy("log", "recover", "--from", str(export), "--actor", "ada", "--reason", "the disk failed", "--json")
    assert (done.code, done.json["complete"], done.json["packs"]) == (0, True, [])
    assert Path(done.json["evidence"], "edits.duckdb").stat().st_size == 20_000
    assert copy("log", "verify").code == 0
    recovered, *rest = copy("log", "list", "--limit", "0", "--json").json
    assert (recovered["kind"], recovered["actor"], recovered["reason"]) == ("log.recovered", "ada", "the disk failed")
    assert rest == before
    assert copy("log", "recover").out.strip() == "The log and the packs are intact: there is nothing to recover."


def test_what_the_replica_holds_is_not_lost(copy: Cli) -> None:
    older = (copy.home / "log" / "edits.duckdb").read_bytes()
    assert copy("ingest", "-", stdin='{"prompt": "One more is", "target": "one"}\n').code == 0
    (copy.home / "log" / "edits.duckdb").write_bytes(older)
    assert copy("log", "recover").code == 0
    assert copy("fact", "history", "--prompt", "One more is", "--json").json


def test_3_what_is_lost_is_told_by_number(copy: Cli) -> None:
    last = copy("log", "list", "--limit", "1", "--json").json[0]["seq"]
    older = (copy.home / "log" / "edits.duckdb").read_bytes()
    assert copy("ingest", "-", stdin='{"prompt": "One more is", "target": "one"}\n').code == 0
    (copy.home / "log" / "edits.duckdb").write_bytes(older)
    shutil.rmtree(copy.home / "log" / "replica")
    done = copy("log", "recover")
    assert done.code == 3
    assert f"the events {last + 1} to {last + 2} are lost; the damaged files are in " in done.err
    assert copy("log", "verify").code == 0


def test_a_damaged_pack_is_put_aside_and_its_facts_are_trained_again(copy: Cli, edited: dict[str, str]) -> None:
    experts = {row["hash"]: row for row in copy("experts", "list", "--json").json}
    own = copy("ask", edited["prompt"], "--json").json["expert"]
    pack = copy.home / "experts" / f"{experts[own]['pack']}.safetensors"
    raw = bytearray(pack.read_bytes())
    raw[-1] ^= 1
    pack.write_bytes(raw)
    assert copy("ask", edited["prompt"]).code == 6

    done = copy("log", "recover", "--json")
    assert (done.code, done.json["packs"]) == (0, [pack.stem])
    assert done.json["to_train_again"] == sum(row["pack"] == pack.stem for row in experts.values())
    assert [path.read_bytes() for path in (copy.home / "log" / "evidence").rglob(pack.name)] == [bytes(raw)]
    assert copy("run").code in (0, 3)
    assert copy("ask", edited["prompt"]).out.strip() == edited["target"]
    assert {row["hash"] for row in copy("experts", "list", "--json").json} == experts.keys()


def test_a_wave_that_is_trained_again_as_a_whole_gives_the_same_experts(copy: Cli) -> None:
    experts = copy("experts", "list", "--json").json
    packs = {row["pack"] for row in experts}
    for pack in packs:
        path = copy.home / "experts" / f"{pack}.safetensors"
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
    done = copy("log", "recover", "--json")
    assert (done.code, set(done.json["packs"]), done.json["to_train_again"]) == (0, packs, len(experts))
    assert copy("run").code in (0, 3)
    assert {row["hash"] for row in copy("experts", "list", "--json").json} == {row["hash"] for row in experts}
