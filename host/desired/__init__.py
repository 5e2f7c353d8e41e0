"""What each machine consists of: from plain values to files, directories, units and roles. Pure.

One module for each machine, `postgres` and `barman`; in it one function for each run of a program
of host/programs, which gives all that this program brings about. Only the function that needs
credentials takes them: so a password that a preview does not know yet leaves the other runs known,
and the preview shows no change where there will be none.
"""
