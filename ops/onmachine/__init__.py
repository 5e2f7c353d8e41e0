"""What runs on the machines, sent over SSH's standard input. Standard library only."""
