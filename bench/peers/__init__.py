"""Ours beside what people would pick instead: the same machines, the same data, one run."""
