"""Recovery in place, step by step."""
