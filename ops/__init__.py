"""The operator's runbooks: they read the stack's outputs and work over SSH."""
