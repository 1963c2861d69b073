"""What the documentation claims about speed, runnable: `python -m bench` or one of its modules."""
