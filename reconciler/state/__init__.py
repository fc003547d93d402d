"""The vocabulary: kinds, states, differences. No I/O, nothing of ours outside itself."""
