"""Moving in: off another PostgreSQL and onto this one."""
