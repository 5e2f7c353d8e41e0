"""Names of a move that more than its own programs know."""

# The slots here begin so; a publication here and a schema at the source are called so.
BACK = "ops_migrate_back"
BACK_UNIT = "migration-back"
