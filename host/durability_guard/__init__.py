"""The durability guard: decides, on the PostgreSQL machine, whether commits wait for Barman.

Standard library only, relative imports only: it is installed as it is below /usr/local/lib.
"""
