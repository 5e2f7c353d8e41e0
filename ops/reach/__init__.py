"""How a runbook reaches the stack: outputs, SSH, PostgreSQL, Barman, long-running units."""
