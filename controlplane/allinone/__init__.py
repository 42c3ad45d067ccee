"""allinone."""
