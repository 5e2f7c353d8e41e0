"""The used part of Azure on one machine: strict as Azure is, with real machines behind it."""
