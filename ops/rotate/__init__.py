"""`ops rotate`: secrets recreated, by the stack's own program."""
