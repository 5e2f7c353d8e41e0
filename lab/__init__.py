"""The local stand-in for the part of Azure that the program uses."""
