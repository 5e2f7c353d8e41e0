"""Another server and this one compared, from this server's machine. Both are only read."""
