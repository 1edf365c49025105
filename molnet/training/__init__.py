"""Training: from settings and data to a folder with a model and its errors."""
