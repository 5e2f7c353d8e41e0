"""What can be restored: backups, WAL, recovery windows, targets and the plan for one."""
