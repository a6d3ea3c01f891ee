"""Programs that make what the product ships."""
