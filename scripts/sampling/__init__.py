"""What bundled data and models are made from: molecules, their distortions, labels."""
