"""Other resources for containers that run (KEP-1287, behind the gate InPlacePodVerticalScaling)."""
