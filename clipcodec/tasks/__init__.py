"""What people do with decoded embeddings: images and parts of them, named and found by words."""
