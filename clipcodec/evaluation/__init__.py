"""Rate and distortion of every profile beside its peers. Nothing outside this folder imports it."""
