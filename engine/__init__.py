"""Pulumi's engine and workspace: found or built, and spoken to."""
