"""The field's facts, written once: WAL names and positions, backup.info, histories, quoting.

Standard library only: these modules are installed on both machines, sent along with the programs
that run there without being installed, and imported by the runbooks.
"""
