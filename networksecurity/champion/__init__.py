"""Which version is in use, and how that is decided."""
