"""Measurements. Each prints what it measured and on what; none of them is a test."""
