"""What is special about a kind: one file per special kind; everything else is generic."""
