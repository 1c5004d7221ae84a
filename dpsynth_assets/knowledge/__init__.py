"""A domain that nobody can have read about: made up by seed, with records about it, questions, and a reader.

What a model answers of it, it has from the records it was given.
"""
