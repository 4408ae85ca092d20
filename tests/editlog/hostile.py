"""Three hundred statements that an auditor's console must not carry out, made from templates by kind."""

from __future__ import annotations

from itertools import product

READERS = (
    "read_csv", "read_csv_auto", "read_text", "read_blob", "read_json", "read_json_auto", "read_ndjson",
    "read_json_objects", "read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema",
    "parquet_file_metadata", "parquet_kv_metadata", "glob", "sniff_csv", "read_duckdb",
)  # fmt: skip
PLACES = ("{file}", "/etc/passwd", "https://example.com/x.csv", "s3://bucket/*")
SHAPES = (
    "SELECT * FROM {call}",
    "WITH x AS (FROM {call}) SELECT * FROM x",
    "SELECT (SELECT count(*) FROM {call}) FROM facts",
    "EXPLAIN ANALYZE SELECT * FROM {call}",
)
SETTINGS = (
    "enable_external_access", "lock_configuration", "threads", "memory_limit", "temp_directory", "home_directory",
    "extension_directory", "autoload_known_extensions", "custom_extension_repository", "search_path", "log_query_path",
)  # fmt: skip
CATALOGUES = (
    "duckdb_settings()", "duckdb_secrets()", "duckdb_databases()", "duckdb_extensions()", "duckdb_functions()",
    "duckdb_tables()", "duckdb_views()", "duckdb_columns()", "duckdb_logs()", "duckdb_memory()",
    "duckdb_temporary_files()", "duckdb_variables()", "duckdb_prepared_statements()", "which_secret('s3://x', 's3')",
    "pragma_database_size()", "pragma_table_info('main.texts')", "pragma_user_agent()", "test_all_types()",
    "duckdb_settings", "duckdb_tables", "sqlite_master", "pg_catalog.pg_settings", "information_schema.tables",
    "main.texts", "memory.main.texts", "system.main.duckdb_tables", "texts", "_puts", "writer", "audit._told",
    "query('SELECT 1')", "query_table('facts')", "json_execute_serialized_sql('{{}}')", "seq_scan('facts')",
    "repeat_row(1, num_rows := 3)", "summary((FROM facts))",
)  # fmt: skip
FUNCTIONS = (
    "getenv('HOME')", "current_setting('home_directory')", "getvariable('x')", "current_database()",
    "current_schemas(true)",
    "current_query()", "nextval('s')", "setseed(0.5)", "sleep_ms(10000)", "pg_sleep(10)", "write_log('x')",
    "txid_current()", "stats(1)", "inet_client_addr()", "pg_conf_load_time()", "read_text('{file}')", "uuidv7()",
    "system.main.txid_current()",
)  # fmt: skip
CHANGES = (
    "CREATE TABLE t (x INT)", "CREATE TABLE t AS FROM facts", "CREATE TEMP TABLE t AS FROM facts",
    "CREATE VIEW v AS FROM facts", "CREATE OR REPLACE VIEW facts AS SELECT 1", "CREATE MACRO m(x) AS x",
    "CREATE SCHEMA s", "CREATE SEQUENCE s", "CREATE TYPE e AS ENUM ('a')", "CREATE INDEX i ON responses (answer)",
    "CREATE SECRET s (TYPE s3)", "CREATE PERSISTENT SECRET s (TYPE http)", "INSERT INTO responses DEFAULT VALUES",
    "INSERT INTO main.events SELECT * FROM main.events", "UPDATE responses SET answer = 'x'",
    "UPDATE main.texts SET target = 'x'", "DELETE FROM responses", "DELETE FROM main.events", "TRUNCATE responses",
    "DROP VIEW facts", "DROP TABLE main.events", "DROP SCHEMA audit CASCADE", "ALTER TABLE responses ADD COLUMN x INT",
    "ALTER VIEW facts RENAME TO f", "COMMENT ON VIEW facts IS 'x'",
    "MERGE INTO responses USING facts ON true WHEN MATCHED THEN DELETE",
    "WITH x AS (INSERT INTO responses DEFAULT VALUES RETURNING *) FROM x",
    "WITH x AS (DELETE FROM responses RETURNING *) FROM x",
    "WITH x AS (UPDATE responses SET answer = 'x' RETURNING *) FROM x",
    "EXPLAIN ANALYZE INSERT INTO responses DEFAULT VALUES", "EXPLAIN CREATE TABLE t AS SELECT 1",
)  # fmt: skip
OUTSIDE = (
    "COPY facts TO '{file}'", "COPY (FROM facts) TO '{file}' (FORMAT parquet)", "COPY responses FROM '{file}'",
    "COPY (SELECT 1) TO '/dev/stdout'", "EXPORT DATABASE '{file}'", "IMPORT DATABASE '{file}'",
    "ATTACH '{file}'", "ATTACH ':memory:' AS m", "ATTACH 'https://example.com/x.db' AS m", "DETACH memory",
    "COPY FROM DATABASE memory TO other", "USE main", "USE memory.main", "INSTALL httpfs", "FORCE INSTALL httpfs",
    "INSTALL httpfs FROM community", "LOAD httpfs", "LOAD '{file}'", "UPDATE EXTENSIONS", "CHECKPOINT",
    "FORCE CHECKPOINT", "VACUUM", "VACUUM facts", "ANALYZE", "BEGIN", "COMMIT", "ROLLBACK",
)  # fmt: skip
OTHER = (
    "PREPARE p AS SELECT 1", "EXECUTE p", "EXECUTE p(1)", "DEALLOCATE p", "CALL range(3)", "CALL duckdb_settings()",
    "CALL pragma_version()", "CALL enable_logging()", "CALL force_checkpoint()", "SHOW TABLES", "SHOW ALL TABLES",
    "SHOW DATABASES", "SHOW SCHEMAS", "DESCRIBE", "DESCRIBE main.texts", "SUMMARIZE main.texts", "DESCRIBE '{file}'",
    "SUMMARIZE '/etc/passwd'", "SELECT $1", "SELECT ?", "SELECT $name", "PIVOT facts ON source", "SET VARIABLE x = 1",
    "SELECT * FROM con", "SELECT * FROM table", "LISTEN x", "KILL 1", ".read /etc/passwd", "!ls", "\\copy facts",
)  # fmt: skip
FILES = (
    "FROM '{file}'", 'FROM "{file}"', "SELECT * FROM '/etc/passwd'", "FROM 'https://example.com/x.parquet'",
    "FROM 's3://bucket/x.json'", "FROM '*.csv'", "FROM '../../**/*.parquet'", "FROM 'file://{file}'",
    "FROM facts, '{file}'", "FROM facts JOIN '{file}' ON true", "SELECT 1 WHERE EXISTS (FROM '{file}')",
    'WITH "{file}" AS (SELECT 1) SELECT * FROM facts', 'SELECT (WITH "x.csv" AS (SELECT 1) SELECT 1), * FROM "x.csv"',
    "(FROM '{file}')", "SELECT 1 UNION ALL FROM '{file}'", "FROM facts POSITIONAL JOIN '{file}'",
)  # fmt: skip
TRICKS = (
    "", " ", ";", ";;", "--", "/* */", "-- SELECT 1", "SELECT 1; SELECT 2", "SELECT 1; DROP VIEW facts",
    "SELECT 1;DELETE FROM responses;--", "SELECT 1 /* ; */ ; SET threads = 9", "/* SELECT */ DROP VIEW facts",
    "-- SELECT 1\nDROP VIEW facts", "SELECT 1 --\n; ATTACH '{file}'", "SEL\u200bECT 1", "\ufeffDROP VIEW facts",
    "\uff33\uff25\uff2c\uff25\uff23\uff34 1", "SELECT * FROM \u202ercsv.x\u202c", "SELECT 1\x00; DROP VIEW facts",
    "\ud800", "SELECT '\ud83d", "SELECT 'unterminated", 'SELECT "unterminated', "SELECT /* unterminated", "SELECT $$x",
    "SELECT * FROM facts WHERE", "SELECT (", "SELECT " + "(" * 5000 + "1" + ")" * 5000, "SELECT 1" + " + 1" * 20_000,
    "SELECT " + "[" * 3000 + "]" * 3000, "SELECT '" + "x" * 200_000 + "'",
    "FROM " + "(FROM " * 2000 + "facts" + ")" * 2000,
    "EXPLAIN EXPLAIN DROP VIEW facts", "EXPLAIN (SELECT 1; DROP VIEW facts)",
    "WITH facts AS (FROM '{file}') FROM facts",
    "SELECT * FROM facts AT (VERSION => 1) '", "sElEcT * fRoM ReAd_TeXt('{file}')", "SELECT * FROM main . texts",
    'SELECT * FROM "main"."texts"', "FROM \"READ_TEXT\"('{file}')",
)  # fmt: skip
BOMBS = (
    "SELECT count(*) FROM range(1000000000000)",
    "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b",
    "SELECT count(*) FROM facts a, facts b, facts c, range(1000000000) d", "SELECT list(range) FROM range(10000000000)",
    "SELECT range(100000000000)", "SELECT generate_series(1, 100000000000)", "SELECT repeat('x', 100000000000)",
    "SELECT string_agg(range::VARCHAR) FROM range(1000000000)",
    "SELECT DISTINCT range FROM range(100000000000)", "SELECT range FROM range(100000000000) ORDER BY -range",
    "SELECT range, count(*) FROM range(100000000000) GROUP BY range",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t, range(10)) SELECT count(*) FROM t",
    "WITH RECURSIVE t(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM t) SELECT count(*) FROM t",
    "SELECT count(*) FROM range(1000000000) a ASOF JOIN range(1000000000) b ON a.range >= b.range",
    "SELECT median(range) FROM range(100000000000)", "SELECT histogram(range) FROM range(10000000000)",
    "SELECT row_number() OVER (ORDER BY range DESC) FROM range(100000000000)",
    "SELECT unnest(range(100000000000))",
    "SELECT count(*) FROM range(100000000000) WHERE sqrt(range) = -1",
    "SELECT repeat('x', 1000000) FROM range(1000)", "SELECT [range, range] FROM range(1000000000000)",
)  # fmt: skip
# One call of one function, which no interrupt reaches: only the kernel ends these.
DEAF = (
    "SELECT levenshtein(repeat('a', 400000), repeat('b', 400000))", "SELECT lpad('', 2000000000, 'x')",
    "SELECT list_sort(range(400000000))", "SELECT sum(length(repeat('x', 1000000000) || range)) FROM range(1000)",
)  # fmt: skip


def hostile_statements(file: str) -> list[str]:
    """Statements that must be refused; `file` is a path that some of them name."""
    calls = [f"{reader}('{place}')" for reader, place in product(READERS, PLACES)]
    found = [SHAPES[number % len(SHAPES)].replace("{call}", call) for number, call in enumerate(calls)]
    for setting in SETTINGS:
        found += [f"SET {setting} = 'x'", f"RESET {setting}", f"PRAGMA {setting}"]
    found += [f"SELECT * FROM {name}" for name in CATALOGUES]
    found += [f"SELECT {call}" for call in FUNCTIONS]
    for statements in (CHANGES, OUTSIDE, OTHER, FILES, TRICKS):
        found += statements
    return [statement.replace("{file}", file).replace("{{}}", "{}") for statement in found]
