"""What each machine consists of: from plain values to files, directories, units and roles. Pure.

One module for each machine, `postgres` and `barman`; in it one function for each run of a program
of host/programs, which gives all that this program brings about.
"""
