"""What people do with decoded embeddings: name, caption and point."""
