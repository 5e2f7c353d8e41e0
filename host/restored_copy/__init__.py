"""A server brought back beside everything else: it can harm nothing until it has been checked.

Recovery and clone have it beside the running server, a drill on Barman's machine. The stages:
files (what Barman restored becomes its data), replay, check; then it is dropped, left open, or put
in place (place). Standard library only; runs as root.
"""
