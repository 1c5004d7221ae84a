"""What a contract of a given size will take: time, memory and money, from unit costs that were measured.

    python -m benchmarks.capacity measure                       unit costs of this machine, into capacity.json
    python -m benchmarks.capacity check                         the same model against what it was not fitted to
    python -m benchmarks.capacity predict --records 1e7         one contract here, or on another machine (`--machine`)
    python -m benchmarks.capacity table                         10^5 to 10^9 records, 0.1 to 30 billion parameters

`work` says what is to be done in operations and bytes, `machine` how fast one is and what it costs, `simulation` brings
the two together, `units` measures this machine.
"""
