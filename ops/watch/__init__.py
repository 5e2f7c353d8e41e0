"""What is true of the stack now, and whether that is good enough."""
