"""`ops rotate`: secrets made anew, by the stack's own program."""
