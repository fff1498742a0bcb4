"""Is it worth starting, and when: a programme's cash flows, the option to wait, staged investment.

``programme`` makes the cash flows, ``cashflows`` says what a stream is worth, ``waiting`` holds
the option to wait with a rival in closed form and on a lattice, ``exercise`` least-squares Monte
Carlo with its bounds, ``staged`` the choice between waiting, a pilot, the whole and leaving.
"""
