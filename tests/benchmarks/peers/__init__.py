"""The other tools, each in the form in which it did best; every file runs in that tool's own interpreter."""
