"""The endings of our own files' names."""

STREAM_SUFFIX = ".clip"  # of the file of a stream
CONTAINER_SUFFIX = ".clpc"
