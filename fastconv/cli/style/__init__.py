"""The command `fastconv style`."""
