"""What every runbook is made of: steps, journal, lock, progress."""
