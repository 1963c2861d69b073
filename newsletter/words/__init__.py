"""Every word of ours that readers see, in each language."""
