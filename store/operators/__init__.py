"""What operators ask of the whole: figures of all that runs, and what they were told of it."""
