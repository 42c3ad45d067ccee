"""What a plan is made of: each class is one step's work."""
