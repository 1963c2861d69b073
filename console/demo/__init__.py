"""The demo: the sample site, the inbox, and the play between them, all on loopback."""
