"""The restore drill: runs on the Barman machine, standard library only."""
