"""Task plugins: JSON in, JSON that fits its schema out."""
