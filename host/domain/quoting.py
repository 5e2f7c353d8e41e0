"""Values as PostgreSQL's own parsers read them back."""

import re


def conf_value(value: str) -> str:
    """A string in postgresql.conf or postgresql.auto.conf, whose lexer (guc-file.l) takes a
    backslash for the beginning of an escape. Raises ValueError for what no line can hold."""
    if "\n" in value or "\0" in value:
        raise ValueError("a value in postgresql.conf is one line")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def conninfo_value(value: str) -> str:
    """A value in libpq's connection string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def sql_literal(value: str) -> str:
    """A string constant in SQL; standard_conforming_strings is on, so a backslash is itself."""
    return "'" + value.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name in SQL; a part of a pattern of psql's and pg_amcheck's options reads the same."""
    return '"' + name.replace('"', '""') + '"'


def pgpass_field(value: str) -> str:
    """A field of a password file (libpq-pgpass)."""
    return value.replace("\\", "\\\\").replace(":", "\\:")


def pgpass_fields(line: str) -> list[str]:
    """The fields of a line of a password file, as they were before pgpass_field."""
    fields = re.findall(r"(?:^|:)((?:\\.|[^:\\])*)", line)
    return [re.sub(r"\\(.)", r"\1", field) for field in fields]
