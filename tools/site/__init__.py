"""The site of the documentation: pages that are made from the sources, and the hook by which mkdocs takes them."""
