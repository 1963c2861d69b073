"""The words and looks of what readers see; no Python lives here, the package exists so that its files are found."""
