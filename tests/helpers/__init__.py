"""What several test files share: paths, small profiles and models, and processes."""
