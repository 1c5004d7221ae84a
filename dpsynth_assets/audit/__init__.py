"""What an attacker gets out of a mechanism that has run: a measurement beside the proof.

A proof covers the mechanism on paper, an audit the code that ran. Canaries, made-up units of ours, are each put in by
a fair coin; an attack guesses the coins from what is released; how often it is right bounds epsilon from below.

    canaries    made-up units with coordinates of their own, and the attack on them
    guesses     which canaries were in, and how well an attack tells them
    trade_off   whether so many right guesses refute a mechanism's whole privacy curve
    result      what is said of an audited run

It knows mechanisms (`dpsynth_assets.privacy`) and neither contracts, the ledger nor the gate.
"""
