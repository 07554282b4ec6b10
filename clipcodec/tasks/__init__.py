"""What people do with decoded embeddings."""
