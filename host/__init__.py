"""Programs and configuration templates that live on the two machines."""
