"""What Azure accepts, type by type: the property names are azure-native's own."""
