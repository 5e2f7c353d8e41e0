"""What is there to compare, in SQL that every PostgreSQL from 11 on understands. Each row is one
JSON value. `{schemas}` is a regular expression of schemas that the service has added."""

from collections.abc import Iterable, Sequence

from host.domain.quoting import identifier, sql_literal

# Types whose text before PostgreSQL 12 was not the shortest that is exact; and their arrays.
_FLOATS = "float4 float8 _float4 _float8 point lseg path box polygon line circle"
_FLOAT_OIDS = ", ".join(f"'pg_catalog.{name}'::regtype" for name in _FLOATS.split())
# What an extension has made is the extension's; but rows that it declares to be the user's count.
_OWN = """
  n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname !~ {schemas}
  AND c.relpersistence <> 't'"""
_MEMBER = """EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
    AND d.objid = c.oid AND d.deptype = 'e')"""
_KEY = """
  (SELECT json_agg(a.attname ORDER BY k.n)
   FROM pg_index i
   CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, n)
   JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
   WHERE k.n <= i.indnkeyatts AND i.indexrelid = (
     SELECT u.indexrelid FROM pg_index u
     WHERE u.indrelid = c.oid AND u.indisunique AND u.indisvalid AND u.indpred IS NULL
       AND u.indexprs IS NULL AND NOT EXISTS (
         SELECT FROM unnest(u.indkey::int2[]) WITH ORDINALITY q(attnum, n)
         JOIN pg_attribute z ON z.attrelid = c.oid AND z.attnum = q.attnum
         WHERE q.n <= u.indnkeyatts AND NOT z.attnotnull)
     ORDER BY NOT u.indisprimary, u.indexrelid LIMIT 1))"""
_TABLES = f"""
SELECT json_build_object('schema', n.nspname, 'name', c.relname,
  'view', c.relkind = 'm', 'populated', c.relispopulated, 'bytes', pg_table_size(c.oid),
  'readable', has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
  'condition', coalesce((SELECT e.extcondition[array_position(e.extconfig, c.oid)]
    FROM pg_extension e WHERE c.oid = ANY (e.extconfig)), ''),
  'columns', (SELECT coalesce(json_agg(json_build_array(a.attname, CASE
      WHEN coalesce(nullif(t.typbasetype, 0), t.oid) IN ({_FLOAT_OIDS})
      THEN t.typsend::text END) ORDER BY a.attname COLLATE "C"), '[]')
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'key', {_KEY})
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND {_OWN}
  AND (NOT {_MEMBER} OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))
"""  # noqa: S608 - constants
_SEQUENCES = f"""
SELECT json_build_object('schema', n.nspname, 'name', c.relname,
  'readable', has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT'))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND {_OWN}
  AND (NOT {_MEMBER} OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))
"""  # noqa: S608 - constants
# pg_dump locks what it describes, and may lock only what its user can read.
_UNDESCRIBED = f"""
SELECT json_build_array(n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND {_OWN} AND NOT {_MEMBER}
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
"""  # noqa: S608 - constants
_DATABASE = """
SELECT json_build_object(
  'number', current_setting('server_version_num')::int,
  'encoding', current_setting('server_encoding'),
  'schemas', (SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace WHERE nspname ~ {schemas}),
  'extensions', (SELECT coalesce(json_object_agg(extname, extversion), '{}') FROM pg_extension),
  'invalid_indexes', (SELECT coalesce(json_agg(indexrelid::regclass::text), '[]') FROM pg_index
    WHERE NOT indisvalid AND indexrelid >= 16384),
  'foreign_tables', (SELECT coalesce(json_agg(c.oid::regclass::text), '[]') FROM pg_class c
    WHERE c.relkind = 'f'),
  'subscriptions', (SELECT coalesce(json_agg(subname), '[]') FROM pg_subscription
    WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())))
"""
# A setting belongs to a role, to a database, or to a role in a database.
SERVER = """
SELECT json_build_object(
  'roles', (SELECT json_object_agg(r.rolname, json_build_object(
      'SUPERUSER', r.rolsuper, 'INHERIT', r.rolinherit, 'CREATEROLE', r.rolcreaterole,
      'CREATEDB', r.rolcreatedb, 'LOGIN', r.rolcanlogin, 'REPLICATION', r.rolreplication,
      'BYPASSRLS', r.rolbypassrls, 'CONNECTION LIMIT', r.rolconnlimit,
      'VALID UNTIL', r.rolvaliduntil::text,
      'comment', shobj_description(r.oid, 'pg_authid'))) FROM pg_roles r),
  'memberships', (SELECT coalesce(json_agg(DISTINCT jsonb_build_object(
      'role', g.rolname, 'member', r.rolname, 'admin', m.admin_option,
      'inherit', coalesce((to_jsonb(m) ->> 'inherit_option')::bool, r.rolinherit),
      'set', coalesce((to_jsonb(m) ->> 'set_option')::bool, true))), '[]')
    FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles r ON r.oid = m.member),
  'settings', (SELECT coalesce(json_agg(json_build_object('database', d.datname,
      'role', r.rolname, 'values', s.setconfig)), '[]')
    FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
    LEFT JOIN pg_roles r ON r.oid = s.setrole),
  'databases', (SELECT json_object_agg(d.datname, json_build_object(
      'owner', pg_get_userbyid(d.datdba), 'connection limit', d.datconnlimit,
      'encoding', pg_encoding_to_char(d.encoding),
      'comment', shobj_description(d.oid, 'pg_database'),
      'grants', (SELECT json_agg(json_build_object('privilege', a.privilege_type,
          'to', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END,
          'grantable', a.is_grantable))
        FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a)))
    FROM pg_database d WHERE NOT d.datistemplate))
"""
# Read in pieces: an object may be larger than any value.
_PIECE = 2**20
LARGE_OBJECTS = f"""(
  SELECT m.oid AS oid, pg_get_userbyid(m.lomowner) AS owner,
    obj_description(m.oid, 'pg_largeobject') AS comment,
    (SELECT string_agg(a::text, ' ' ORDER BY a::text COLLATE "C")
     FROM unnest(coalesce(m.lomacl, acldefault('L', m.lomowner))) a) AS grants,
    (WITH RECURSIVE piece AS (
       SELECT 0::bigint AS i, lo_get(m.oid, 0, {_PIECE}) AS b
       UNION ALL SELECT i + 1, lo_get(m.oid, (i + 1) * {_PIECE}, {_PIECE}) FROM piece
       WHERE length(b) = {_PIECE})
     SELECT string_agg(sha256(b)::text, '' ORDER BY i) FROM piece) AS content
  FROM pg_largeobject_metadata m)"""  # noqa: S608 - constants
LARGE_OBJECT_COLUMNS = ("oid", "owner", "comment", "grants", "content")


def database(schemas: str) -> str:
    """What is said of a database as a whole."""
    return _with(_DATABASE, schemas)


def tables(schemas: str) -> str:
    """Tables, partitions and materialized views, with what their rows are compared by."""
    return _with(_TABLES, schemas)


def sequences(schemas: str) -> str:
    """The sequences."""
    return _with(_SEQUENCES, schemas)


def undescribed(schemas: str) -> str:
    """Tables that pg_dump has to be kept from, as [schema, name]."""
    return _with(_UNDESCRIBED, schemas)


def _with(sql: str, schemas: str) -> str:
    return sql.replace("{schemas}", sql_literal(schemas))


def values(names: Sequence[tuple[str, str]]) -> str:
    """What these sequences stand at: [schema, name, last value, whether it was given out]."""
    return " UNION ALL ".join(_value(schema, name) for schema, name in names)


def _value(schema: str, name: str) -> str:
    return (
        f"SELECT json_build_array({sql_literal(schema)}, {sql_literal(name)}, last_value, "  # noqa: S608 - quoted
        f"is_called) FROM {relation(schema, name)}"
    )


def relation(schema: str, name: str) -> str:
    """A relation's name in SQL."""
    return f"{identifier(schema)}.{identifier(name)}"


def some_of(names: Iterable[tuple[str, str]], size: int) -> Iterable[list[tuple[str, str]]]:
    """The names in portions."""
    listed = list(names)
    return (listed[at : at + size] for at in range(0, len(listed), size))
