"""Which SQL an auditor may run: one question, over the views, and nothing else. Decided by DuckDB's own parser.

The text is parsed, never matched: DuckDB says what kind of statement it is and hands out its syntax tree, and every
table, table function and function in that tree must be one that only looks at the views. The sandbox around it
(`editlog.console`) does not rely on this; this is what turns a refusal into a sentence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from editlog.errors import UsageError

MAX_LENGTH = 100_000
CONSOLE = "the console answers one SELECT, WITH, DESCRIBE or EXPLAIN over the views of docs/QUERIES.md"

# EXPLAIN hides its statement from the parser's tree: what follows it is taken off, checked, and put behind it again.
_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(?:ANALYZE\s+)?", re.IGNORECASE)
_QUERY_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLE_FUNCTIONS = frozenset({"generate_series", "histogram", "json_each", "json_tree", "range", "unnest"})
# Of what is not a function of its arguments alone, these tell nothing but the time, or nothing at all.
_HARMLESS = frozenset(
    {"ago", "current_date", "get_current_time", "get_current_timestamp", "now", "random", "today"}
    | {"transaction_timestamp", "gen_random_uuid", "uuid", "error"}
)
_ABOUT_THE_SESSION = re.compile(r"(pg_|has_|inet_|col_description|obj_description|shobj_).*|.*(user|role|catalog)")
_PLAIN = re.compile(r"\w+")


def checked(con: DuckDBPyConnection, sql: str, tables: Collection[str]) -> str:
    """The one statement in `sql`, where it only asks for `tables`; raises UsageError for anything else."""
    if len(sql) > MAX_LENGTH:
        raise UsageError(f"the query is {len(sql):,} characters long, the limit is {MAX_LENGTH:,}")
    statement = _only(con, sql)
    kind = _type_of(statement)
    if kind == "EXPLAIN":
        explain = _EXPLAIN.match(statement.query)
        if explain is None:
            raise UsageError(f"only EXPLAIN and EXPLAIN ANALYZE can be asked; {CONSOLE}")
        return explain[0] + checked(con, statement.query[explain.end() :], tables)
    if kind != "SELECT":
        raise UsageError(f"this is a statement of type {kind}; {CONSOLE}")
    tree = _tree(con, statement.query)
    refused = _refused(con)
    known = {name.lower() for name in tables}
    for name in _named_in(tree) - known:
        if not _PLAIN.fullmatch(name) or name in _catalogue(con):
            raise UsageError(f"WITH cannot name a part of the query {name!r}: choose another name")
        known.add(name)
    for node in _nodes(tree):
        _check(node, known, refused)
    return str(statement.query)


def _only(con: DuckDBPyConnection, sql: str) -> Any:
    try:
        sql.encode()
        statements = con.extract_statements(sql)
    except (duckdb.Error, UnicodeError) as error:
        raise UsageError(f"this is no SQL: {first_line(error)}") from error
    if len(statements) != 1:
        raise UsageError(f"there are {len(statements)} statements in this; {CONSOLE}")
    return statements[0]


def _type_of(statement: Any) -> str:
    try:
        return str(statement.type.name)
    except ValueError:  # one that DuckDB's Python module has no name for yet
        return "unknown"


def _catalogue(con: DuckDBPyConnection) -> frozenset[str]:
    """What DuckDB itself would find under a name where the query's own part is not in scope."""
    rows = con.execute("SELECT view_name FROM duckdb_views() UNION SELECT table_name FROM duckdb_tables()").fetchall()
    return frozenset(name.lower() for (name,) in rows)


def _tree(con: DuckDBPyConnection, query: str) -> Any:
    try:
        [[text]] = con.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()
        tree = json.loads(text)
    except (duckdb.Error, RecursionError) as error:
        raise UsageError(f"the query cannot be looked into: {first_line(error)}") from error
    if tree["error"]:
        raise UsageError(f"the query cannot be looked into: {tree['error_message']}; {CONSOLE}")
    return tree["statements"]


def _refused(con: DuckDBPyConnection) -> frozenset[str]:
    """Names of the functions that do or tell more than their arguments say: settings, sessions, sequences, sleep."""
    rows = con.execute(
        "SELECT DISTINCT function_name, function_type, stability FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'aggregate', 'macro')"
    ).fetchall()
    return frozenset(
        name
        for name, kind, stability in rows
        if name not in _HARMLESS
        and (stability not in (None, "CONSISTENT") or (kind == "macro" and _ABOUT_THE_SESSION.fullmatch(name)))
    )


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of the tree, without recursion: hostile queries are deep."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _named_in(tree: Any) -> set[str]:
    """The names that the query gives to parts of itself, by WITH."""
    return {entry["key"].lower() for node in _nodes(tree) if isinstance(node.get("map"), list) for entry in node["map"]}


def _check(node: dict[str, Any], known: set[str], refused: Collection[str]) -> None:
    kind = node.get("type")
    if not isinstance(kind, str):
        return
    if kind.endswith("_NODE") and kind not in _QUERY_NODES:
        raise UsageError(f"the query changes something ({kind.lower()}); {CONSOLE}")
    if kind == "BASE_TABLE":
        path = node["qualified_name"]["path"]
        if len(path) != 1 or path[0].lower() not in known:
            raise UsageError(f"there is no view {'.'.join(path)!r}: the views are {', '.join(sorted(known))}")
    elif kind == "TABLE_FUNCTION":
        name = node["function"].get("function_name", "")
        if name.lower() not in _TABLE_FUNCTIONS or len(node["function"]["qualified_name"]["path"]) != 1:
            raise UsageError(f"the function {name} cannot be read from here; {CONSOLE}")
    elif kind == "SHOW_REF" and not node["query"]:
        raise UsageError(f"SHOW is not answered: the views are {', '.join(sorted(known))}")
    elif node.get("class") == "FUNCTION":
        name = node["function_name"]
        if name.lower() in refused or len(node["qualified_name"]["path"]) != 1:
            raise UsageError(f"the function {name} is about more than the log; {CONSOLE}")


def first_line(error: BaseException) -> str:
    """What DuckDB says, without the picture of the query under it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
