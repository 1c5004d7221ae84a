"""The gate: the only way to sensitive rows, and what stands around it.

approval      what two people must have agreed to, and whether they have
binding       which people's records a snapshot holds, as the ledger knows it
gate          reserve, activate, read, commit: around every release
sources       what the stores are told of a contract's source
public_rows   rows that a contract declares public, read free
passage       what a release gets inside
refusal       what is said of a release that did not come about
confinement   what is printed near the rows stays with them
resumption    a release whose run was killed is finished under its own charge
observation   the balance, where the UI plots it
"""
