"""Is a synthetic corpus fit to be published? Rules in, a verdict of numbers out."""
