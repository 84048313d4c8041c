"""One module for each section: `run(effort)` gives its figures."""
