"""The gate: the only way to sensitive rows, and what stands around it.

approval      what two people must have agreed to, and whether they have
binding       which people's records a snapshot holds, as the ledger knows it
gate          charge, read, commit, seal: around every release
uncharged     the way past it, for a variant without privacy
spec          what a release is called in the ledger and on its receipt
sources       what the stores are told of a contract's source
public_rows   rows that a contract declares public, read free
passage       what a release gets inside
refusal       what is said of a release that did not come about
confinement   what is printed near the rows stays with them
resumption    a release whose run was killed is finished under its own charge
adoption      one that was finished, and not sealed, is found
observation   the balance, where the UI plots it
"""
