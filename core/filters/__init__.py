"""What every channel responds to most: the one-pass index, its statistics, patches and contact sheets."""
