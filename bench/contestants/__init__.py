"""The functions that are measured against one another. Each is written as its approach usually is."""
