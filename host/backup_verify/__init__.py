"""The verification of backups, installed whole on the Barman machine. Standard library only."""
