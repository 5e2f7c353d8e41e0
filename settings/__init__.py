"""The stack's configuration, validated once: plain values, no Pulumi resources."""
