"""API priority and fairness (KEP-1040): who waits when there is too much to do."""
