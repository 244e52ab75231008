"""What several models share, each piece once."""
