"""What source and server are asked, in SQL that every PostgreSQL from 11 on understands.

Each is one statement with one JSON value. A catalogue column that came with a later version is
taken out of the whole row, where it is null in an earlier one: to_jsonb(row) ->> 'column'.
"""

from ops.migrate import service

# Parameters by which applications notice that they have been moved.
SETTINGS = (
    *("DateStyle", "IntervalStyle", "TimeZone", "bytea_output", "default_text_search_config"),
    *("default_transaction_isolation", "idle_in_transaction_session_timeout"),
    *("idle_session_timeout", "lc_monetary", "lc_numeric", "lc_time", "lock_timeout"),
    *("max_connections", "max_locks_per_transaction", "max_prepared_transactions"),
    *("row_security", "search_path", "session_preload_libraries", "shared_preload_libraries"),
    *("standard_conforming_strings", "statement_timeout", "xmloption"),
)
_NAMES = ", ".join(f"'{name.lower()}'" for name in SETTINGS)
# As server_version_num has it. What an earlier one lacks is not asked around.
OLDEST = 110000
# Sooner it may still end by itself.
LONG_S = 300
# reset_val: as a new session has them, not this one.
_REPORTED = f"""
  (SELECT json_object_agg(name, reset_val) FROM pg_settings WHERE lower(name) IN ({_NAMES}))
"""  # noqa: S608 - constants

NUMBER = "SELECT to_json(current_setting('server_version_num')::int)"

SERVER = f"""
SELECT json_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1),
  'number', current_setting('server_version_num')::int,
  'tls', (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl),
  'in_recovery', pg_is_in_recovery(),
  'superuser', me.rolsuper,
  'replication', me.rolsuper OR me.rolreplication OR EXISTS (
    SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(oid, 'MEMBER')),
  'ends_sessions', me.rolsuper OR pg_has_role('pg_read_all_stats', 'MEMBER')
    AND pg_has_role('pg_signal_backend', 'MEMBER'),
  'wal_level', current_setting('wal_level'),
  'free_slots', current_setting('max_replication_slots')::int
    - (SELECT count(*) FROM pg_replication_slots),
  'settings', {_REPORTED},
  'databases', (SELECT json_agg(json_build_object(
      'name', d.datname, 'oid', d.oid::bigint, 'owner', pg_get_userbyid(d.datdba),
      'encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate, 'ctype', d.datctype,
      'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
      'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale',
        d.datcollate),
      'open', d.datallowconn AND d.datconnlimit <> -2,
      'connect', has_database_privilege(d.oid, 'CONNECT'),
      'size_bytes', CASE WHEN has_database_privilege(d.oid, 'CONNECT')
          OR pg_has_role('pg_read_all_stats', 'MEMBER') THEN pg_database_size(d.oid) END
    ) ORDER BY d.datname) FROM pg_database d WHERE NOT d.datistemplate),
  'roles', (SELECT json_agg(json_build_object(
      'name', r.rolname, 'login', r.rolcanlogin, 'superuser', r.rolsuper,
      'replication', r.rolreplication, 'bypass_rls', r.rolbypassrls,
      'entra', EXISTS (SELECT FROM pg_shseclabel l WHERE l.objoid = r.oid
        AND l.classoid = 'pg_authid'::regclass AND l.provider = 'pgaadauth'),
      'member_of', (SELECT coalesce(json_agg(DISTINCT g.rolname), '[]')
        FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)
    ) ORDER BY r.rolname) FROM pg_roles r),
  'slots', (SELECT coalesce(json_agg(json_build_object('name', slot_name, 'type', slot_type,
      'database', database, 'active', active) ORDER BY slot_name), '[]')
    FROM pg_replication_slots),
  'blockers', (SELECT coalesce(json_agg(b ORDER BY b.age_s DESC), '[]') FROM (
    SELECT 'transaction' AS kind, pid::text AS name, datname AS database, usename AS role,
      extract(epoch FROM clock_timestamp() - xact_start)::float AS age_s
    FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
      AND xact_start < clock_timestamp() - interval '{LONG_S} s'
    UNION ALL
    SELECT 'prepared', gid, database, owner,
      extract(epoch FROM clock_timestamp() - prepared)::float
    FROM pg_prepared_xacts) b)
) FROM pg_roles me WHERE me.rolname = current_user
"""  # noqa: S608 - constants

# What belongs to PostgreSQL, to an extension or to the service is not the team's.
_OWN = f"""
own_schema AS (
  SELECT n.oid, n.nspname FROM pg_namespace n
  WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT {service.SCHEMA}
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass
      AND d.objid = n.oid AND d.deptype = 'e')
),
own AS (
  SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class c JOIN own_schema n ON n.oid = c.relnamespace
  WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
    AND d.objid = c.oid AND d.deptype = 'e')
),
own_function AS (
  SELECT p.*, format('%I.%I', n.nspname, p.proname) AS name
  FROM pg_proc p JOIN own_schema n ON n.oid = p.pronamespace
  WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
    AND d.objid = p.oid AND d.deptype = 'e')
)
"""  # noqa: S608 - constants

_CONTENT = f"""
(WITH {_OWN} SELECT (SELECT count(*) FROM own) + (SELECT count(*) FROM own_function)
  + (SELECT count(*) FROM pg_largeobject_metadata))
"""  # noqa: S608 - constants
CONTENT = f"SELECT to_json({_CONTENT})"
# In the database that every cluster is made with, an extension may keep what is the team's (pg_cron
# its jobs), and there is nothing else to show it.
CONTENT_OR_EXTENSIONS = f"""
SELECT to_json({_CONTENT} + (SELECT count(*) FROM pg_extension
  WHERE extconfig IS NOT NULL AND extname !~ '{service.EXTENSIONS}'))
"""  # noqa: S608 - constants

_ORDINARY = "relkind IN ('r', 'p')"
_COLUMNS = "own JOIN pg_attribute a ON attrelid = own.oid AND attnum > 0 AND NOT attisdropped"
_COLUMN = "format('%s.%I', own.name, attname)"
_INDEXES = "own JOIN pg_index i ON indexrelid = own.oid"
# What this user cannot read.
_UNREADABLE = f"""own WHERE {_ORDINARY} AND NOT (has_schema_privilege(relnamespace, 'USAGE')
    AND has_table_privilege(oid, 'SELECT'))
  OR relkind = 'S' AND NOT (has_schema_privilege(relnamespace, 'USAGE')
    AND has_sequence_privilege(oid, 'SELECT'))"""
_UNREADABLE_LARGE_OBJECTS = """pg_largeobject_metadata
  WHERE NOT pg_has_role(lomowner, 'MEMBER') AND NOT EXISTS (
    SELECT FROM aclexplode(lomacl) g WHERE g.privilege_type = 'SELECT'
      AND (g.grantee = 0 OR pg_has_role(g.grantee, 'MEMBER')))"""
_WITHOUT_KEY = """(relreplident = 'n' OR relreplident = 'd' AND NOT EXISTS (
    SELECT FROM pg_index i WHERE i.indrelid = own.oid AND i.indisprimary))"""
_LOGGED = "own WHERE relkind = 'r' AND relpersistence = 'p'"
_COUNTS = {
    "tables": "own WHERE relkind = 'r'",
    "sequences": "own WHERE relkind = 'S'",
    "views": "own WHERE relkind = 'v'",
    "large_objects": "pg_largeobject_metadata",
    "unreadable_large_objects": _UNREADABLE_LARGE_OBJECTS,
}
# What a cutover copies as a whole.
_LATER_BYTES = f"""(SELECT coalesce(sum(pg_table_size(oid)), 0)::bigint FROM own
    WHERE relkind = 'r' AND (relpersistence = 'u' OR {_WITHOUT_KEY}))"""  # noqa: S608 - constants
# Where the names come from, and how they are written where it is not as the relation's.
_LISTS = {
    "partitioned": ("own WHERE relkind = 'p'", "name"),
    "foreign_tables": ("own WHERE relkind = 'f'", "name"),
    "materialized_views": ("own WHERE relkind = 'm'", "name"),
    "unlogged": ("own WHERE relkind = 'r' AND relpersistence = 'u'", "name"),
    "without_key": (f"{_LOGGED} AND {_WITHOUT_KEY}", "name"),
    "followed": (f"{_LOGGED} AND NOT {_WITHOUT_KEY}", "name"),
    # Whoever publishes a table owns it.
    "owners_of_others": (
        f"""(SELECT DISTINCT quote_ident(pg_get_userbyid(relowner)) AS owner FROM {_LOGGED}
            AND NOT pg_has_role(relowner, 'MEMBER')) o""",  # noqa: S608 - constants
        "owner",
    ),
    # Partitions have those of their table.
    "identity_columns": (f"{_COLUMNS} WHERE attidentity <> '' AND NOT relispartition", _COLUMN),
    "triggers": (
        """own JOIN pg_trigger t ON t.tgrelid = own.oid WHERE NOT t.tgisinternal
          AND coalesce(to_jsonb(t) ->> 'tgparentid', '0') = '0'""",
        "format('%s: %I', name, tgname)",
    ),
    "event_triggers": ("pg_event_trigger", "quote_ident(evtname)"),
    "publications": ("pg_publication", "quote_ident(pubname)"),
    "subscriptions": (
        """pg_subscription
          WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())""",
        "quote_ident(subname)",
    ),
    "row_security": ("own WHERE relrowsecurity", "name"),
    "invalid_indexes": (f"{_INDEXES} WHERE NOT indisvalid", "name"),
    # 100: the database's own collation.
    "text_indexes": (
        f"""{_INDEXES} JOIN pg_am ON pg_am.oid = relam
          WHERE amname = 'btree' AND 100 = ANY (indcollation)""",
        "name",
    ),
    "text_partitions": (
        """own JOIN pg_partitioned_table p ON partrelid = own.oid
          WHERE partstrat = 'r' AND 100 = ANY (partcollation)""",
        "name",
    ),
    "superuser_objects": (
        """(SELECT name, relowner AS owner FROM own WHERE relkind <> 'i'
            UNION SELECT name || '()', proowner FROM own_function
            UNION SELECT quote_ident(evtname), evtowner FROM pg_event_trigger) o
          WHERE owner IN (SELECT oid FROM pg_roles WHERE rolsuper)""",
        "name",
    ),
    "schemas": (f"pg_namespace n WHERE {service.SCHEMA}", "nspname"),
    "unreadable": (_UNREADABLE, "name"),
    "owners_of_unreadable": (
        f"""(SELECT relowner AS owner FROM {_UNREADABLE}
            UNION SELECT lomowner FROM {_UNREADABLE_LARGE_OBJECTS}) o""",  # noqa: S608 - constants
        "quote_ident(pg_get_userbyid(owner))",
    ),
    "of_two_lines": (
        f"""(SELECT name FROM own WHERE relkind = 'r'
            UNION SELECT {_COLUMN} FROM {_COLUMNS} WHERE relkind = 'r') o
          WHERE name ~ '[\\n\\r]'""",  # noqa: S608 - constants
        "name",
    ),
    # What it reads without some of the rows.
    "hidden": ("own WHERE relrowsecurity AND row_security_active(oid)", "name"),
}
_GENERATED_SINCE = 120000


def database(number: int) -> str:
    """What is in the database that the session is in, on a server of version `number`
    (server_version_num)."""
    lists = dict(_LISTS)
    generated = "attgenerated <> ''" if number >= _GENERATED_SINCE else "false"
    lists["generated_columns"] = (f"{_COLUMNS} WHERE {generated} AND {_ORDINARY}", _COLUMN)
    counted = [
        f"'{key}', (SELECT count(*) FROM {what})"  # noqa: S608 - constants
        for key, what in _COUNTS.items()
    ]
    named = [
        f"'{key}', (SELECT coalesce(json_agg({name} ORDER BY {name}), '[]') FROM {what})"  # noqa: S608
        for key, (what, name) in lists.items()
    ]
    return f"""
WITH {_OWN},
used AS (
  SELECT attcollation AS oid FROM {_COLUMNS}
  UNION SELECT unnest(indcollation::oid[]) FROM {_INDEXES}
  UNION SELECT typcollation FROM pg_type t JOIN own_schema s ON s.oid = t.typnamespace
)
SELECT json_build_object(
  'later_bytes', {_LATER_BYTES},
  {", ".join(counted)},
  {", ".join(named)},
  'extensions', (SELECT coalesce(json_agg(json_build_object(
      'name', extname, 'version', extversion) ORDER BY extname), '[]')
    FROM pg_extension WHERE extname <> 'plpgsql'),
  'collations', (SELECT coalesce(json_agg(json_build_object(
      'name', CASE n.nspname WHEN 'pg_catalog' THEN c.collname
        ELSE format('%I.%I', n.nspname, c.collname) END,
      'system', n.nspname = 'pg_catalog', 'provider', c.collprovider,
      'locale', coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale',
        c.collcollate)
    ) ORDER BY c.collname), '[]')
    FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
    WHERE c.oid IN (SELECT oid FROM used)
      AND c.collname NOT IN ('default', 'C', 'POSIX', 'ucs_basic'))
)"""  # noqa: S608 - constants


# The stack's own server, by its superuser.
HERE = f"""
SELECT json_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1),
  'number', current_setting('server_version_num')::int,
  'settings', {_REPORTED},
  'apply_workers', least(current_setting('max_logical_replication_workers')::int,
    current_setting('max_worker_processes')::int - 1),
  'databases', (SELECT json_agg(datname) FROM pg_database
    WHERE datallowconn AND datconnlimit <> -2),
  'closed', (SELECT coalesce(json_agg(datname), '[]') FROM pg_database
    WHERE NOT datallowconn OR datconnlimit = -2),
  'roles', (SELECT json_agg(rolname) FROM pg_roles),
  'owning', (SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles r WHERE EXISTS (
    SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid
      AND s.deptype = 'o' AND s.classid <> 'pg_database'::regclass)),
  'extensions', (SELECT json_object_agg(name, default_version) FROM pg_available_extensions),
  'collations', (SELECT json_agg(collname) FROM pg_collation
    WHERE collnamespace = 'pg_catalog'::regnamespace),
  'locales', (SELECT json_agg(DISTINCT collcollate) FROM pg_collation WHERE collprovider = 'c'),
  'kept_wal_bytes', CASE WHEN current_setting('max_slot_wal_keep_size') = '-1'
    THEN pg_size_bytes(current_setting('max_wal_size'))
    ELSE greatest(pg_size_bytes(current_setting('max_slot_wal_keep_size')),
      pg_size_bytes(current_setting('max_wal_size'))) END
)
"""  # noqa: S608 - constants
