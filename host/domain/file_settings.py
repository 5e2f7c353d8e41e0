"""What PostgreSQL's configuration files say of one parameter more than once."""

# The stack's parameters (name, setting) that ALTER SYSTEM has set to something else.
OVERRULED = """
SELECT DISTINCT ours.name, theirs.setting FROM pg_file_settings ours
JOIN pg_file_settings theirs ON lower(theirs.name) = lower(ours.name)
WHERE ours.sourcefile LIKE '%/conf.d/pulumi.conf'
  AND theirs.sourcefile LIKE '%/postgresql.auto.conf' AND theirs.setting <> ours.setting
"""
