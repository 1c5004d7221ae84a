"""What an attacker gets out of a mechanism that has run: a measurement beside the proof.

A proof covers the mechanism on paper, an audit the code that ran. Canaries, made-up units of ours, are each put in by
a fair coin; an attack guesses the coins from what is released; how often it is right bounds epsilon from below.

    one_run     the bound, and how well the attack tells canaries apart
    trade_off   whether the guesses refute a mechanism's whole privacy curve
    white_box   an attack: how canaries align with the noisy sums

It knows mechanisms (`dpsynth_assets.privacy`) and neither contracts, the ledger nor the gate.
"""
