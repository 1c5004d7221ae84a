"""The shape of a ledger's schema on PostgreSQL: as it is found, and as `postgresql.sql` makes it. Knows no records.

Its definitions cannot be had from a database in memory as DuckDB's can, so they stand here; a test holds them against
what a fresh ledger has. What is asked for is asked with `pg_catalog` alone on the search path: no operator, function or
type of the schema has a part in the answers, and all names are written with their schemas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.transaction import Connection

# Each gives names and definitions of what belongs to the schema with the name that is the parameter.
_QUERIES = (
    """
    SELECT CASE c.relkind WHEN 'r' THEN 'table ' WHEN 'v' THEN 'view ' ELSE c.relkind::text || ' ' END || c.relname,
        string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
            || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
            || CASE WHEN a.atthasdef OR a.attidentity <> '' THEN ' with a default' ELSE '' END
            || CASE WHEN a.attcollation NOT IN (0, 100) THEN ' collated' ELSE '' END
            || CASE WHEN a.attacl IS NOT NULL THEN ' with grants' ELSE '' END, ', ' ORDER BY a.attnum)
            || CASE WHEN c.relpersistence <> 'p' THEN '; not kept after a crash' ELSE '' END
            || CASE WHEN c.relrowsecurity THEN '; some rows are hidden' ELSE '' END
            || CASE WHEN c.relowner <> n.nspowner THEN '; of another owner than the schema' ELSE '' END
            || CASE WHEN EXISTS (SELECT FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)) THEN '; inherits'
               ELSE '' END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE n.nspname = ? AND c.relkind NOT IN ('i', 'I', 't') AND a.attnum > 0 AND NOT a.attisdropped
    GROUP BY c.oid, c.relname, c.relkind, c.relpersistence, c.relrowsecurity, c.relowner, n.nspowner
    """,
    """
    SELECT 'constraint ' || conrelid::regclass || '.' || conname,
        pg_get_constraintdef(c.oid) || CASE WHEN convalidated THEN '' ELSE ', not held' END
    FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace WHERE n.nspname = ? AND contype <> 'n'
    """,
    """
    SELECT 'index ' || c.oid::regclass, pg_get_indexdef(c.oid) || CASE WHEN i.indisvalid THEN '' ELSE ', not valid' END
    FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ?
    """,
    """
    SELECT 'trigger ' || c.oid::regclass || '.' || t.tgname,
        pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'O' THEN '' ELSE ', not always in force' END
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND n.nspname = ?
    """,
    """
    SELECT 'function ' || p.oid::regprocedure, pg_get_functiondef(p.oid)
        || CASE WHEN p.proowner <> n.nspowner THEN '; of another owner than the schema' ELSE '' END
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE n.nspname = ? AND p.prokind IN ('f', 'p')
    """,
    """
    SELECT 'rule ' || c.oid::regclass || '.' || r.rulename, pg_get_ruledef(r.oid)
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = ?
    """,
    """
    SELECT 'policy ' || c.oid::regclass || '.' || p.polname, ''
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ?
    """,
    # Runs read and insert. Whoever may do more than that and is not the owner was let in by somebody.
    """
    SELECT 'grant of ' || g.privilege_type || ' on ' || c.oid::regclass || ' to '
        || CASE g.grantee WHEN 0 THEN 'everybody' ELSE g.grantee::regrole::text END, ''
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) g
    WHERE n.nspname = ? AND g.grantee <> c.relowner
        AND (g.grantee = 0 OR g.is_grantable OR NOT (g.privilege_type = 'SELECT'
            OR g.privilege_type = 'INSERT' AND c.relname = 'entries'))
    """,
    """
    SELECT 'grant of ' || g.privilege_type || ' on the schema to '
        || CASE g.grantee WHEN 0 THEN 'everybody' ELSE g.grantee::regrole::text END, ''
    FROM pg_namespace n, aclexplode(n.nspacl) g
    WHERE n.nspname = ? AND g.grantee <> n.nspowner AND (g.grantee = 0 OR g.is_grantable OR g.privilege_type <> 'USAGE')
    """,
    # A role may be let in by way of another one. Whoever inserts is neither a superuser nor a member of the owner.
    """
    SELECT 'right of ' || r.rolname || ', which inserts, to do what the owner does, by ' || CASE WHEN r.rolsuper
        THEN 'being a superuser' ELSE 'membership' END, ''
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) g
        JOIN pg_roles r ON r.oid = g.grantee
    WHERE n.nspname = ? AND c.relname = 'entries' AND g.privilege_type = 'INSERT' AND g.grantee <> c.relowner
        AND (r.rolsuper OR pg_has_role(r.oid, c.relowner, 'MEMBER')
            OR pg_has_role(r.oid, 'pg_write_all_data', 'MEMBER'))
    """,
    # Operators, types, aggregates, collations and whatever else a schema can hold.
    """
    SELECT pg_describe_object(d.classid, d.objid, 0), ''
    FROM pg_depend d JOIN pg_namespace n ON n.oid = d.refobjid
    WHERE d.refclassid = 'pg_namespace'::regclass AND n.nspname = ?
        AND NOT (d.classid = 'pg_class'::regclass
            OR d.classid = 'pg_proc'::regclass AND EXISTS (
                SELECT FROM pg_proc p WHERE p.oid = d.objid AND p.prokind IN ('f', 'p')))
    """,
)


def shape(connection: Connection, schema: str) -> dict[str, str]:
    """Everything in the schema by name, with its definition as PostgreSQL words it."""
    found: dict[str, str] = {}
    for query in _QUERIES:
        for name, said in connection.execute(query, [schema]).fetchall():
            unique = str(name)
            while unique in found:
                unique += ", again"
            found[unique] = " ".join(str(said).split())
    return found


def expected(written: str) -> dict[str, str]:
    """The shape that a ledger has in a schema whose name PostgreSQL writes like this."""
    return {name.replace("@.", f"{written}."): said.replace("@.", f"{written}.") for name, said in EXPECTED.items()}


EXPECTED: dict[str, str] = {
    "constraint @.entries.entries_pkey": "PRIMARY KEY (seq)",
    "function @.refuse_change()": "CREATE OR REPLACE FUNCTION @.refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
    "$function$ BEGIN RAISE EXCEPTION '% is append-only: a correction is a new entry', "
    "TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $function$",
    "index @.entries_by_blocks": "CREATE INDEX entries_by_blocks ON @.entries USING gin (blocks)",
    "index @.entries_by_key": "CREATE INDEX entries_by_key ON @.entries USING btree (key)",
    "index @.entries_by_kind": "CREATE INDEX entries_by_kind ON @.entries USING btree (kind)",
    "index @.entries_by_population": "CREATE INDEX entries_by_population ON @.entries USING btree (population)",
    "index @.entries_by_reservation": "CREATE INDEX entries_by_reservation ON @.entries USING btree (reservation)",
    "index @.entries_pkey": "CREATE UNIQUE INDEX entries_pkey ON @.entries USING btree (seq)",
    "table entries": "seq bigint not null, kind text not null, population text, reservation bigint, key text, blocks "
    "text[] not null, body text not null, hash text not null",
    "table ledger": "version integer not null, id text not null",
    "trigger @.entries.entries_keep_their_rows": "CREATE TRIGGER entries_keep_their_rows BEFORE DELETE OR UPDATE OR "
    "TRUNCATE ON @.entries FOR EACH STATEMENT EXECUTE FUNCTION "
    "@.refuse_change()",
    "trigger @.ledger.ledger_keeps_its_identity": "CREATE TRIGGER ledger_keeps_its_identity BEFORE DELETE OR UPDATE "
    "OR TRUNCATE ON @.ledger FOR EACH STATEMENT EXECUTE FUNCTION "
    "@.refuse_change()",
}
