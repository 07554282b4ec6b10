"""clipcodec in other systems, one module each; what they need are optional extras."""
