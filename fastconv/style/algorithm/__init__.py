"""The algorithm: its options, the scales it runs through, what it minimises, and how."""
