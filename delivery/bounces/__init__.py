"""What comes back: reports, complaints, old forms, and where they arrive."""
