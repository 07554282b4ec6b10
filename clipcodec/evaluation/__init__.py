"""Rate and distortion of every profile and of reference codecs. No other room imports this one."""
