"""apimachinery."""
