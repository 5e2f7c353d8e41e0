"""What runs on the machines as root. Standard library only: nothing is installed for it."""
