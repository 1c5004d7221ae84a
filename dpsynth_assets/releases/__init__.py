"""Releases: what is charged to the privacy ledger, one module each.

`release` says what a release is, and `registry` lists them.
"""
