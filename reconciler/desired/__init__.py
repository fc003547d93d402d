"""What should be: pure, from facts and configuration."""
