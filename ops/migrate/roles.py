"""Roles and what belongs to databases as wholes, as the source has them and as SQL makes them here:
what neither pg_dump nor COPY brings. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from host.domain.quoting import identifier, sql_literal

# One JSON value, of every version from 11 on.
QUESTION = """
SELECT json_build_object(
  'roles', (SELECT json_agg(json_build_object(
      'name', rolname, 'inherit', rolinherit, 'createrole', rolcreaterole,
      'createdb', rolcreatedb, 'login', rolcanlogin, 'replication', rolreplication,
      'bypassrls', rolbypassrls, 'limit', rolconnlimit, 'until', rolvaliduntil,
      'comment', shobj_description(oid, 'pg_authid'))) FROM pg_roles),
  'members', (SELECT coalesce(json_agg(json_build_object(
      'role', g.rolname, 'member', r.rolname, 'admin', admin_option,
      'inherit', to_jsonb(m) ->> 'inherit_option', 'set', to_jsonb(m) ->> 'set_option')), '[]')
    FROM pg_auth_members m JOIN pg_roles g ON g.oid = roleid JOIN pg_roles r ON r.oid = member),
  'settings', (SELECT coalesce(json_agg(json_build_object(
      'role', rolname, 'database', datname, 'values', setconfig)), '[]')
    FROM pg_db_role_setting LEFT JOIN pg_roles r ON r.oid = setrole
    LEFT JOIN pg_database d ON d.oid = setdatabase),
  'databases', (SELECT json_agg(json_build_object(
      'name', datname, 'owner', pg_get_userbyid(datdba), 'limit', datconnlimit,
      'comment', shobj_description(oid, 'pg_database'),
      'grants', (SELECT json_agg(json_build_object('grantee', pg_get_userbyid(nullif(grantee, 0)),
          'public', grantee = 0, 'privilege', privilege_type, 'option', is_grantable))
        FROM aclexplode(datacl)))) FROM pg_database)
)
"""
# The settings whose values are lists: PostgreSQL keeps them quoted, name by name.
_LISTS = frozenset(
    {
        *("local_preload_libraries", "search_path", "session_preload_libraries"),
        *("shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"),
    }
)


def creating(role: Mapping[str, Any]) -> str:
    """CREATE ROLE, without a password and never as a superuser."""
    words = [
        word if role[key] else f"NO{word}"
        for key, word in (
            *(("inherit", "INHERIT"), ("createrole", "CREATEROLE"), ("createdb", "CREATEDB")),
            *(("login", "LOGIN"), ("replication", "REPLICATION"), ("bypassrls", "BYPASSRLS")),
        )
    ]
    if role["limit"] >= 0:
        words.append(f"CONNECTION LIMIT {role['limit']}")
    if role["until"]:
        words.append(f"VALID UNTIL {sql_literal(role['until'])}")
    name = identifier(role["name"])
    comment = role["comment"]
    said = f"\nCOMMENT ON ROLE {name} IS {sql_literal(comment)};" if comment else ""
    return f"CREATE ROLE {name} {' '.join(words)};{said}"


def memberships(answer: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """GRANT for each membership between roles that are here then."""
    here = set(known)
    return [
        _membership(each) for each in answer["members"] if {each["role"], each["member"]} <= here
    ]


def _membership(each: Mapping[str, Any]) -> str:
    options = [f"ADMIN {'TRUE' if each['admin'] else 'FALSE'}"]
    options += [
        f"{key.upper()} {each[key].upper()}" for key in ("inherit", "set") if each[key] is not None
    ]
    role, member = identifier(each["role"]), identifier(each["member"])
    return f"GRANT {role} TO {member} WITH {', '.join(options)};"


def settings(
    answer: Mapping[str, Any], roles: Iterable[str], databases: Iterable[str | None]
) -> list[str]:
    """ALTER … SET for what is set for these databases, all of it or for one of the roles in them;
    None among the databases stands for what roles have set for all."""
    known, chosen = set(roles), set(databases)
    return [
        f"{_whose(each)} SET {_parameter(value)};"
        for each in answer["settings"]
        if each["database"] in chosen and (each["role"] is None or each["role"] in known)
        for value in each["values"]
    ]


def _whose(each: Mapping[str, Any]) -> str:
    role, database = each["role"], each["database"]
    if role is None:
        return f"ALTER DATABASE {identifier(database)}"
    where = "" if database is None else f" IN DATABASE {identifier(database)}"
    return f"ALTER ROLE {identifier(role)}{where}"


def _parameter(setting: str) -> str:
    name, _, value = setting.partition("=")
    parts = ".".join(identifier(part) for part in name.split("."))
    return f"{parts} TO {value if name in _LISTS and value else sql_literal(value)}"


def database(name: str, answer: Mapping[str, Any], roles: Iterable[str]) -> tuple[str, list[str]]:
    """The statement that creates the database, and those that give it what it has as a whole once
    its contents are there. Grants to roles that are not among `roles` are left out."""
    found = next(each for each in answer["databases"] if each["name"] == name)
    known, quoted = set(roles), identifier(name)
    owner = identifier(found["owner"] if found["owner"] in known else "postgres")
    create = f"CREATE DATABASE {quoted} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8'"
    then = []
    if found["limit"] >= 0:
        then.append(f"ALTER DATABASE {quoted} CONNECTION LIMIT {found['limit']};")
    if found["comment"]:
        then.append(f"COMMENT ON DATABASE {quoted} IS {sql_literal(found['comment'])};")
    if found["grants"] is not None:
        then.append(f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC, {owner};")
    for grant in found["grants"] or []:
        if grant["public"] or grant["grantee"] in known:
            grantee = "PUBLIC" if grant["public"] else identifier(grant["grantee"])
            option = " WITH GRANT OPTION" if grant["option"] else ""
            then.append(f"GRANT {grant['privilege']} ON DATABASE {quoted} TO {grantee}{option};")
    return create, then
