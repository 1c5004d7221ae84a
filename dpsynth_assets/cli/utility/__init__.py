"""`dpsynth bench utility`: what the synthetic tables of a contract with variants are worth, beside its real rows."""
