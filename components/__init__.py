"""What exists in Azure, and in which order it is configured."""
