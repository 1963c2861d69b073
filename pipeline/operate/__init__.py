"""What operators need: how everything stands, and being told when something waits or is wrong."""
